//! What the commands of operators have in common: they ask the admin API of a running gate.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_verifiers::secret_file::SecretFile;
use portcullis_verifiers::{ConfigError, Endpoint};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::table::{Column, fields, table};
use crate::admin::api::PREFIX;
use crate::config::expand;
use crate::first_run;
use crate::output;

/// Which gate is asked, by whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct OperatorArgs {
    /// The admin listener
    #[arg(
        long,
        value_name = "URL",
        env = "PORTCULLIS_ADMIN",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7701",
        help_heading = "Gate"
    )]
    admin: String,

    /// File with the credential; without it $PORTCULLIS_ADMIN_TOKEN, or the first run's token
    #[arg(long, value_name = "PATH", help_heading = "Gate")]
    token_file: Option<String>,

    /// Print what was answered as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// An admin API.
pub(crate) struct AdminClient {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    base: String,
    token: SecretString,
}

impl OperatorArgs {
    /// The API that is named.
    ///
    /// # Errors
    ///
    /// A URL that must not be asked, or a credential that cannot be read.
    pub(crate) fn client(&self) -> anyhow::Result<AdminClient> {
        let endpoint = Endpoint::parse(&self.admin)?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(LIMIT)
            .build()?;
        Ok(AdminClient {
            client,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            base: endpoint.as_str().trim_end_matches('/').to_owned(),
            token: self.token()?,
        })
    }

    fn token(&self) -> anyhow::Result<SecretString> {
        let named = self.token_file.as_deref().map(expand);
        let in_environment = || std::env::var("PORTCULLIS_ADMIN_TOKEN").ok();
        if named.is_none()
            && let Some(token) = in_environment().filter(|token| !token.is_empty())
        {
            return Ok(token.into());
        }
        let first_run = || first_run::default_folder().map(|folder| folder.join("token"));
        let file: PathBuf = named.or_else(first_run).context(NO_TOKEN)?;
        let file = SecretFile::read(file).map_err(|error| anyhow!(unread(&error)));
        Ok(file.context(NO_TOKEN)?.expose().into())
    }

    /// Prints a list as it is wanted.
    pub(crate) fn print_list(&self, columns: &[Column], items: &[Value]) {
        if self.json {
            output::data(format!("{:#}\n", json!(items)));
        } else {
            output::data(table(columns, items));
        }
    }

    /// Prints one thing as it is wanted.
    pub(crate) fn print_one(&self, columns: &[Column], item: &Value) {
        if self.json {
            output::data(format!("{item:#}\n"));
        } else {
            output::data(fields(columns, item));
        }
    }
}

impl AdminClient {
    /// What the API answers.
    ///
    /// # Errors
    ///
    /// That it cannot be reached, or why it refuses.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, Option<String>)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut url = format!("{}{PREFIX}{path}", self.base);
        let given = query
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (index, (name, value)) in given.enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            url.push_str(&format!("{mark}{name}={}", encoded(value)));
        }
        let mut request = self
            .client
            .request(method, url)
            .bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            let json = "application/json";
            request = request.header("content-type", json).body(body.to_string());
        }
        let (status, text) = self.runtime.block_on(exchange(request)).map_err(|error| {
            anyhow!(
                "cannot ask the admin API at {}: {error:#}; name a running gate with `--admin URL`",
                self.base
            )
        })?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let told = ["detail", "title"]
            .iter()
            .find_map(|name| answer.get(name)?.as_str());
        bail!(
            "the gate refuses: {} ({status})",
            told.unwrap_or("no reason is given")
        );
    }

    /// The entries of a list, at most `most` of them, page by page.
    ///
    /// # Errors
    ///
    /// As [`AdminClient::ask`].
    pub(crate) fn list(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
        most: usize,
    ) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let mut query = query.to_vec();
            query.push((
                "limit",
                Some((most - items.len()).clamp(1, 1000).to_string()),
            ));
            query.push(("after", after));
            let mut page = self.ask(Method::GET, path, &query, None)?;
            if let Some(found) = page.get_mut("items").and_then(Value::as_array_mut) {
                items.append(found);
            }
            let next = page.get("next").and_then(Value::as_str);
            after = next.map(ToOwned::to_owned);
            if after.is_none() || items.len() >= most {
                items.truncate(most);
                return Ok(items);
            }
        }
    }
}

/// Why a credential's file has none. (The error's own text is that of the gate's secrets.)
fn unread(error: &ConfigError) -> String {
    match error {
        ConfigError::SecretFileUnreadable { path, reason } => {
            format!("cannot read {}: {reason}", path.display())
        }
        ConfigError::SecretFileEmpty { path } => format!("{} is empty", path.display()),
        other => other.to_string(),
    }
}

/// A field of an answer; empty where it is missing.
pub(crate) fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A name as one segment of a path, or as one value of a query.
pub(crate) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

async fn exchange(request: reqwest::RequestBuilder) -> anyhow::Result<(http::StatusCode, String)> {
    let mut response = request.send().await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            bail!("the answer is too long");
        }
    }
    Ok((response.status(), String::from_utf8(bytes)?))
}

const NO_TOKEN: &str = "there is no credential for the admin API; name one with `--token-file PATH` or PORTCULLIS_ADMIN_TOKEN";

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(15);

/// The most bytes of one.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
