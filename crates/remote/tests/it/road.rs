//! Roads and guests, over real sockets.

use portcullis_remote::wire::Version;
use serde_json::json;

use super::support::{Process, Server, TestGuest, TestHost, until, within};

#[tokio::test]
async fn a_guest_speaks_with_its_host_and_all_is_acknowledged() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    let talk = async {
        guest.initialize().await;
        for id in 1..=300 {
            let request = json!({"id": id, "method": "turn", "params": {"n": id}});
            guest.say(&request).await;
            assert_eq!(guest.hear().await, json!({"id": id, "result": {"n": id}}));
        }
        guest.leave().await;
    };
    let served = async {
        process
            .step_until(&mut road, |process| !process.closed.is_empty())
            .await;
        process
            .step_until(&mut road, |process| process.unacknowledged() == 0)
            .await;
    };
    within(async { tokio::join!(talk, served) }).await;
    assert_eq!(process.clients.len(), 1);
    assert_eq!(process.closed, process.clients);
    let [status] = &server.relay.roads()[..] else {
        panic!("one road")
    };
    assert_eq!((&*status.host, status.guests), (&*host.server_id, 0));
    until(|| server.relay.guests().is_empty()).await;
}
