//! Who knows the people.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_boundary::Scopes;
use portcullis_boundary::clock::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::cookie::random_text;
use super::error::LoginError;
use super::exchange::{Exchange, Tokens};
use super::id_token::{Asked, LoggedIn};
use super::logout_token::{LogoutNotice, Taken};
use super::metadata::Metadata;
use crate::digest;
use crate::error::{AskError, ConfigError};
use crate::jwks::{Issuer, Jwks, KeySetHealth, KeySource};
use crate::outbound::{Answer, Endpoint, Flights, Outbound};
use crate::secret_file::SecretFile;

/// An OpenID Connect provider, and the client that it knows this gate as.
///
/// What it says of itself is fetched when it is first needed, and again after an hour; while it cannot
/// be reached, what it said last counts for a day.
pub struct Provider {
    issuer: Box<str>,
    client_id: Box<str>,
    secret_file: Option<PathBuf>,
    redirect_uri: Endpoint,
    scopes: Box<str>,
    scopes_claim: Option<Box<str>>,
    timeout: Duration,
    outbound: Outbound,
    discovery: Endpoint,
    id_tokens: Jwks,
    logout_tokens: Jwks,
    taken: Taken,
    known: Arc<Mutex<Option<Known>>>,
    flights: Flights<(), Result<Arc<Metadata>, LoginError>>,
}

#[derive(Clone)]
struct Known {
    metadata: Arc<Metadata>,
    since: Timestamp,
}

/// A login that begins. All but the address must be remembered until the browser is back, for some
/// minutes, and `state` as a digest only.
#[non_exhaustive]
pub struct Begun {
    /// Where to send the browser.
    pub url: String,
    /// What the browser brings back.
    pub state: SecretString,
    /// What the ID token must have.
    pub nonce: Box<str>,
    /// What the provider is shown with the code.
    pub verifier: SecretString,
}

/// What the browser brings back from the provider.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "who makes one says all of it")]
pub struct CallbackAnswer<'a> {
    /// The code.
    pub code: &'a str,
    /// Whose answer it says it is (RFC 9207).
    pub issuer: Option<&'a str>,
}

impl Provider {
    /// The provider that is called `issuer`, exactly, to whom this gate is the public client
    /// `client_id`, and which sends browsers back to `redirect_uri`. The scope `openid` is asked for.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EndpointMalformed`] and [`ConfigError::EndpointNotSecure`] for `issuer` and
    /// `redirect_uri`; [`ConfigError::AudienceMissing`] when `client_id` is blank.
    pub fn new(
        issuer: &str,
        client_id: &str,
        redirect_uri: &str,
        outbound: Outbound,
    ) -> Result<Self, ConfigError> {
        let at = Endpoint::parse(issuer)?;
        let keys = KeySource::discovery(&at, outbound.clone());
        let id_tokens = Issuer::new(issuer, [client_id], keys.clone())?;
        let id_tokens = Jwks::new("login", [id_tokens])?;
        let keys = keys.unless_known(id_tokens.keys());
        let logout_tokens = Issuer::new(issuer, [client_id], keys)?.without_subject();
        Ok(Self {
            issuer: issuer.into(),
            client_id: client_id.into(),
            secret_file: None,
            redirect_uri: Endpoint::parse(redirect_uri)?,
            scopes: "openid".into(),
            scopes_claim: None,
            timeout: TIMEOUT,
            discovery: at.below("/.well-known/openid-configuration"),
            id_tokens,
            logout_tokens: Jwks::new("logout", [logout_tokens])?,
            taken: Taken::new(),
            known: Arc::default(),
            flights: Flights::new(outbound.runtime().clone(), 1),
            outbound,
        })
    }

    /// Makes it a confidential client, whose secret stands in the file `secret` and is read for each
    /// code.
    ///
    /// # Errors
    ///
    /// What [`SecretFile::read`] says of the file as it is now.
    pub fn with_secret_file(mut self, secret: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let secret = secret.into();
        SecretFile::read(&secret)?;
        self.secret_file = Some(secret);
        Ok(self)
    }

    /// Asks for these scopes, and for `openid` in any case.
    #[must_use]
    pub fn with_scopes(mut self, scopes: &Scopes) -> Self {
        let others = scopes.iter().filter(|scope| *scope != "openid");
        let all: Vec<_> = std::iter::once("openid").chain(others).collect();
        self.scopes = all.join(" ").into();
        self
    }

    /// Takes what people may do from this claim of the ID token, a text with spaces or an array of
    /// texts. Otherwise it is what the provider granted of the scopes that were asked for.
    #[must_use]
    pub fn with_scopes_claim(mut self, claim: impl Into<Box<str>>) -> Self {
        self.scopes_claim = Some(claim.into());
        self
    }

    /// Sets how long each answer of the provider may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Its name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// As whom it knows this gate.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether `other` is set up as this one is, and so may go on in its place with what it knows.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let settings = |this: &'_ Self| {
            (
                this.issuer.clone(),
                this.client_id.clone(),
                this.secret_file.clone(),
                this.redirect_uri.clone(),
                this.scopes.clone(),
                this.scopes_claim.clone(),
                this.timeout,
            )
        };
        settings(self) == settings(other)
    }

    /// How its keys are.
    #[must_use]
    pub fn health(&self, now: Timestamp) -> Vec<KeySetHealth> {
        self.id_tokens.health(now)
    }

    /// Begins a login. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the provider's metadata cannot be had, or are of no use.
    pub async fn begin(&self, now: Timestamp) -> Result<Begun, LoginError> {
        let metadata = self.metadata(now).await?;
        let (state, nonce, verifier) = (random_text(), random_text(), random_text());
        // "code_challenge = BASE64URL-ENCODE(SHA256(ASCII(code_verifier)))" (RFC 7636, 4.2).
        let challenge = URL_SAFE_NO_PAD.encode(digest::sha256(verifier.as_bytes()));
        let mut url = metadata.authorization.url().clone();
        url.set_fragment(None);
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", self.redirect_uri.as_str())
            .append_pair("scope", &self.scopes)
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(Begun {
            url: url.into(),
            state: state.into(),
            nonce: nonce.into(),
            verifier: verifier.into(),
        })
    }

    /// Ends a login that began with this `nonce` and `verifier`. Whoever calls it has found these by
    /// the `state` that came with `answer`, and found them for the first time. Not cancel-safe: the
    /// code is spent.
    ///
    /// # Errors
    ///
    /// When the provider cannot be asked, does not take the code, or vouches for nobody.
    pub async fn finish(
        &self,
        answer: CallbackAnswer<'_>,
        nonce: &str,
        verifier: SecretString,
        now: Timestamp,
    ) -> Result<LoggedIn, LoginError> {
        let metadata = self.metadata(now).await?;
        // "If the value does not match the expected issuer identifier, clients MUST reject the
        // authorization response" (RFC 9207, 2.4).
        let names_another = answer.issuer.is_some_and(|issuer| issuer != &*self.issuer);
        if names_another || (metadata.names_issuer && answer.issuer.is_none()) {
            return Err(LoginError::OtherIssuer);
        }
        let secret = self.secret_file.clone();
        let exchange = Exchange {
            outbound: self.outbound.clone(),
            endpoint: metadata.token.clone(),
            client_id: self.client_id.clone(),
            secret: secret.map(|file| (file, metadata.secret_in_body)),
            redirect_uri: self.redirect_uri.as_str().into(),
            code: answer.code.to_owned().into(),
            verifier,
            timeout: self.timeout,
        };
        let tokens = self.outbound.run(exchange.run()).await??;
        self.logged_in(tokens, nonce, now).await
    }

    /// Where to send a browser that logs out, so that it does at the provider too; none when the
    /// provider has no such place. It comes back to `after`, which the provider must know. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the provider's metadata cannot be had, or are of no use.
    pub async fn logout_url(
        &self,
        id_token: Option<&str>,
        after: &str,
        now: Timestamp,
    ) -> Result<Option<String>, LoginError> {
        let metadata = self.metadata(now).await?;
        let Some(end_session) = &metadata.end_session else {
            return Ok(None);
        };
        let mut url = end_session.url().clone();
        url.set_fragment(None);
        let mut query = url.query_pairs_mut();
        if let Some(id_token) = id_token {
            query.append_pair("id_token_hint", id_token);
        }
        query
            .append_pair("client_id", &self.client_id)
            .append_pair("post_logout_redirect_uri", after);
        drop(query);
        Ok(Some(url.into()))
    }

    /// Takes a logout token that the provider sent.
    ///
    /// # Errors
    ///
    /// When it is not true, is none, or was taken before.
    pub async fn read_logout(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<LogoutNotice, LoginError> {
        self.taken.read(&self.logout_tokens, token, now).await
    }

    /// Lets a logout token be taken again, because nobody could be logged out by it.
    pub fn give_back(&self, notice: &LogoutNotice) {
        self.taken.give_back(notice);
    }

    async fn logged_in(
        &self,
        tokens: Tokens,
        nonce: &str,
        now: Timestamp,
    ) -> Result<LoggedIn, LoginError> {
        let asked = Asked {
            client_id: &self.client_id,
            nonce,
            access_token: tokens
                .access_token
                .as_ref()
                .map(|token| token.expose_secret()),
        };
        let id_token = tokens.id_token.expose_secret();
        let claims = asked.judge(&self.id_tokens, id_token, now).await?;
        // "OPTIONAL, if identical to the scope requested by the client" (RFC 6749, 5.1).
        let granted = tokens.scope.as_deref().unwrap_or(&self.scopes);
        Ok(LoggedIn {
            subject: claims.text("sub").unwrap_or_default().into(),
            issuer: self.issuer.clone(),
            sid: claims.text("sid").map(Into::into),
            scopes: match &self.scopes_claim {
                Some(claim) => claims.scopes_in(claim),
                None => Scopes::parse(granted),
            },
            claims: claims.into_all(),
            id_token: tokens.id_token,
        })
    }

    async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, LoginError> {
        let known = self.known(now, METADATA_COUNT_FOR);
        let fetch = || {
            let (outbound, at) = (self.outbound.clone(), self.discovery.clone());
            let (issuer, known) = (self.issuer.clone(), Arc::clone(&self.known));
            let timeout = self.timeout;
            async move {
                let request = outbound.get(&at).header("accept", "application/json");
                let answer = outbound
                    .exchange(request, timeout, MOST_METADATA_BYTES)
                    .await;
                let document = answer.and_then(Answer::ok)?.body;
                let metadata = Arc::new(Metadata::parse(&document, &issuer, &at)?);
                *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known {
                    metadata: Arc::clone(&metadata),
                    since: now,
                });
                Ok(metadata)
            }
        };
        let asked = match self.flights.join(&(), || known.map(Ok), fetch) {
            Some(waiter) => waiter.answer().await,
            None => Some(Err(AskError::Busy.into())),
        };
        match asked.unwrap_or_else(|| Err(AskError::Stopped.into())) {
            Err(error @ LoginError::Ask(_)) => self.known(now, METADATA_COUNT_AT_MOST).ok_or(error),
            asked => asked,
        }
    }

    fn known(&self, now: Timestamp, at_most: Duration) -> Option<Arc<Metadata>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref()?;
        (now < known.since.after(at_most)).then(|| Arc::clone(&known.metadata))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("secret_file", &self.secret_file)
            .field("redirect_uri", &self.redirect_uri)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").finish_non_exhaustive()
    }
}

impl fmt::Debug for CallbackAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackAnswer")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);

const METADATA_COUNT_FOR: Duration = Duration::from_secs(3600);

/// While the provider cannot be asked.
const METADATA_COUNT_AT_MOST: Duration = Duration::from_secs(24 * 3600);

const MOST_METADATA_BYTES: usize = 64 * 1024;
