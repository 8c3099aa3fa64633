//! The real `codex` as a host of this relay, on loopback, without a login.
//!
//! ```text
//! cargo run -p portcullis-remote --example real_host -- PATH/TO/codex
//! ```
//!
//! It enrols, dials, answers a guest, loses its road and its relay in mid-turn, is forgotten and enrols
//! again. A model that is played by this program has it ask for an approval.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    reason = "a program that checks, and helpers of tests of which it uses some"
)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use support::{MemoryBook, Served, Server, TestGuest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

#[tokio::main]
async fn main() {
    let Some(codex) = std::env::args_os().nth(1) else {
        panic!("say where codex is");
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let wire = Wire::before(address).await;
    let book = MemoryBook::default();
    let served = serve(&book, listener);
    let home = tempfile::tempdir().expect("a folder");
    prepare(home.path(), wire.port, model().await);
    let mut host = start(Path::new(&codex), home.path(), wire.port);

    road(&served).await;
    let (name, id) = hosts(&served).await.remove(0);
    println!("enrolled as {name:?}, and its road is open");
    let mut guest = TestGuest::enter(address, "access", &name).await;
    begin(&mut guest).await;
    println!("a guest began, and the host says that it is connected");

    turn(&mut guest, &wire, &served).await;
    println!("a turn went on over a new road, with its approval");
    guest.leave().await;

    served.kill().await;
    let listener = TcpListener::bind(address).await.expect("the same port");
    let served = serve(&book, listener);
    road(&served).await;
    assert_eq!(hosts(&served).await, [(name.clone(), id.clone())]);
    let mut guest = TestGuest::enter(address, "access", &name).await;
    begin(&mut guest).await;
    println!("it came back to a relay that was restarted");

    served.relay.remove_host(&id).await.expect("a book");
    assert_eq!(guest.end().await, (4404, "resource_unknown".into()));
    road(&served).await;
    let (name, new_id) = hosts(&served).await.remove(0);
    assert_ne!(new_id, id);
    let mut guest = TestGuest::enter(address, "access", &name).await;
    begin(&mut guest).await;
    println!("it was forgotten, and enrolled again by itself");

    served.relay.revoke_host(&new_id).await.expect("a book");
    let asked = served.count("server/refresh");
    let refused = async {
        while served.count("server/refresh") == asked {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(Duration::from_secs(120), refused).await;
    waited.expect("it comes back");
    assert_eq!(served.relay.roads(), []);
    println!("it was revoked, came back, and was refused");
    host.kill().await.expect("killed");
}

fn serve(book: &MemoryBook, listener: TcpListener) -> Served {
    let server = Server {
        book: book.clone(),
        ..Server::default()
    };
    server.start_on(listener)
}

async fn begin(guest: &mut TestGuest) {
    guest.say(&initialize()).await;
    let answer = answer(guest, 1).await;
    assert!(answer["result"]["userAgent"].is_string(), "{answer}");
    guest.say(&json!({"method": "initialized"})).await;
    read_status(guest, 2).await;
}

/// A turn that loses its road while an approval is asked for.
async fn turn(guest: &mut TestGuest, wire: &Wire, served: &Served) {
    let start = json!({"id": 3, "method": "thread/start", "params": {}});
    guest.say(&start).await;
    let thread = answer(guest, 3).await["result"]["thread"]["id"].clone();
    let input = json!([{"type": "text", "text": "do it", "text_elements": []}]);
    let params = json!({"threadId": thread, "input": input});
    guest
        .say(&json!({"id": 4, "method": "turn/start", "params": params}))
        .await;
    let request = method(guest, "item/commandExecution/requestApproval").await;
    wire.cut();
    support::until(|| served.relay.roads().is_empty()).await;
    // It waits for the next road.
    let decision = json!({"id": request["id"], "result": {"decision": "decline"}});
    guest.say(&decision).await;
    let completed = method(guest, "turn/completed").await;
    let status = &completed["params"]["turn"]["status"];
    assert!(
        status == "completed" || status == "interrupted",
        "{completed}"
    );
    road(served).await;
}

/// The next notification or request of this name, whatever comes before.
async fn method(guest: &mut TestGuest, name: &str) -> Value {
    loop {
        let message = guest.hear().await;
        if message["method"] == name {
            return message;
        }
    }
}

/// A model that asks for a command, and is content with what comes of it.
async fn model() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.clone().spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tasks.spawn(async move {
                let request = read_request(&mut socket).await;
                let item = if !request.starts_with("POST") {
                    None
                } else if request.contains("function_call_output") {
                    Some(json!({
                        "type": "message", "role": "assistant", "id": "m1",
                        "content": [{"type": "output_text", "text": "Well."}],
                    }))
                } else {
                    let arguments = json!({
                        "cmd": "touch made", "sandbox_permissions": "require_escalated",
                        "justification": "to see",
                    });
                    Some(json!({
                        "type": "function_call", "id": "f1", "call_id": "c1",
                        "name": "exec_command", "arguments": arguments.to_string(),
                    }))
                };
                let answer = item.map_or_else(
                    || {
                        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                            .into()
                    },
                    |item| events(&item),
                );
                // It may have gone.
                let _: std::io::Result<()> = socket.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}

fn events(item: &Value) -> String {
    let usage = json!({
        "input_tokens": 1, "input_tokens_details": null, "output_tokens": 1,
        "output_tokens_details": null, "total_tokens": 2,
    });
    let events = [
        json!({"type": "response.created", "response": {"id": "r1"}}),
        json!({"type": "response.output_item.done", "item": item}),
        json!({"type": "response.completed", "response": {"id": "r1", "usage": usage}}),
    ];
    let mut text = String::from(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    );
    for event in events {
        let name = event["type"].as_str().expect("a name");
        text += &format!("event: {name}\ndata: {event}\n\n");
    }
    text
}

async fn read_request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|it| it.lines().next()?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or_default() {
                return text;
            }
        }
        if socket.read_buf(&mut bytes).await.unwrap_or_default() == 0 {
            return text;
        }
    }
}

/// The network between the host and the relay.
struct Wire {
    port: u16,
    cut: tokio::sync::watch::Sender<u64>,
}

impl Wire {
    async fn before(address: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (cut, order) = tokio::sync::watch::channel(0);
        let tasks = tokio_util::task::TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut order = order.clone();
                order.mark_unchanged();
                tasks.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(address).await else {
                        return;
                    };
                    tokio::select! {
                        _ = order.changed() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { port, cut }
    }

    /// Cuts all that is connected now.
    fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}

fn initialize() -> Value {
    json!({
        "id": 1, "method": "initialize",
        "params": {
            "clientInfo": {"name": "guest", "title": "Guest", "version": "1"},
            "capabilities": {"experimentalApi": true},
        },
    })
}

async fn read_status(guest: &mut TestGuest, id: u64) {
    let request = json!({"id": id, "method": "remoteControl/status/read", "params": {}});
    guest.say(&request).await;
    let answer = answer(guest, id).await;
    assert_eq!(answer["result"]["status"], "connected", "{answer}");
}

/// The answer to a request, whatever comes before.
async fn answer(guest: &mut TestGuest, id: u64) -> Value {
    loop {
        let message = guest.hear().await;
        if message["id"] == id && message.get("method").is_none() {
            return message;
        }
    }
}

/// Waits for a road.
async fn road(served: &Served) {
    let open = async {
        while !served.relay.roads().iter().any(|road| road.is_settled) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), open)
        .await
        .expect("a road");
}

/// Names and ids.
async fn hosts(served: &Served) -> Vec<(String, String)> {
    let page = portcullis_remote::relay::Page {
        after: None,
        limit: 100,
        is_descending: false,
    };
    let listed = served.relay.list_hosts(None, page).await.expect("a book");
    let hosts = listed.items.into_iter();
    hosts
        .map(|it| (it.host.name.into(), it.host.id.into()))
        .collect()
}

fn start(codex: &Path, home: &Path, port: u16) -> Child {
    Command::new(codex)
        .args(["app-server", "--listen", "off", "--remote-control"])
        .env("CODEX_HOME", home)
        .env("HOME", home)
        .env(
            "CODEX_REFRESH_TOKEN_URL_OVERRIDE",
            format!("http://127.0.0.1:{port}/oauth/token"),
        )
        .current_dir(home)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("codex starts")
}

/// A home that has logged in, as far as it can tell.
fn prepare(home: &Path, port: u16, model: u16) {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let id_token = format!(
        "{}.{}.{}",
        part(&json!({"alg": "none", "typ": "JWT"})),
        part(&json!({
            "email": "ada@example.com", "exp": 4_000_000_000_u64,
            "https://api.openai.com/auth": {
                "chatgpt_account_id": "acc", "chatgpt_user_id": "ada", "user_id": "ada",
                "chatgpt_plan_type": "pro",
            },
        })),
        URL_SAFE_NO_PAD.encode("signature"),
    );
    let now = humantime::format_rfc3339_seconds(
        std::time::UNIX_EPOCH
            + Duration::from_millis(
                portcullis_boundary::clock::Clock::now(
                    &portcullis_boundary::clock::SystemClock::new(),
                )
                .as_millis()
                .unsigned_abs(),
            ),
    );
    let auth = json!({
        "auth_mode": "chatgpt", "OPENAI_API_KEY": null,
        "tokens": {
            "id_token": id_token, "access_token": "access", "refresh_token": "refresh",
            "account_id": "acc",
        },
        "last_refresh": now.to_string(),
    });
    std::fs::write(home.join("auth.json"), auth.to_string()).expect("written");
    let config = format!(
        r#"chatgpt_base_url = "http://127.0.0.1:{port}/backend-api/"
cli_auth_credentials_store = "file"
check_for_update_on_startup = false
model = "mock"
model_provider = "mock"
approval_policy = "on-request"

[analytics]
enabled = false

[feedback]
enabled = false

[features]
apps = false
plugins = false
remote_plugin = false

[model_providers.mock]
name = "mock"
base_url = "http://127.0.0.1:{model}/v1"
wire_api = "responses"
requires_openai_auth = false
"#
    );
    std::fs::write(home.join("config.toml"), config).expect("written");
}
