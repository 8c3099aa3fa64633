//! What the environment says of traces: the variables that all programs with OpenTelemetry know.
//!
//! They are seldom set for this program alone. So one that cannot be used is warned of, and keeps the
//! gate from nothing; and what the file says goes before all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use reqwest::Url;

use super::values::BadValue;
use crate::traces::CollectorHeaders;

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// That of traces goes before that of all signals.
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const HEADERS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
const TIMEOUTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];

/// The only way in which this program speaks to a collector.
const SPOKEN: &str = "http/protobuf";

/// The variables that are set. What an empty one says is nothing.
#[derive(Clone, Default)]
pub(crate) struct OtelVariables(BTreeMap<&'static str, String>);

impl OtelVariables {
    /// Looks each of them up.
    pub(crate) fn look_up(variable: impl Fn(&str) -> Option<String>) -> Self {
        let single = [
            DISABLED,
            EXPORTER,
            SERVICE_NAME,
            SAMPLER,
            SAMPLER_ARG,
            TRACES_ENDPOINT,
            ENDPOINT,
        ];
        let names = single.into_iter().chain(PROTOCOLS);
        let names = names.chain(HEADERS).chain(TIMEOUTS);
        let set = names.filter_map(|name| Some((name, variable(name)?.trim().to_owned())));
        Self(set.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Where spans are posted to; none when the variables want no traces, or traces that this program
    /// cannot send. Why not is added to `unused`.
    pub(super) fn url(&self, unused: &mut Vec<String>) -> Option<Url> {
        let (name, value, is_whole) = match (self.get(TRACES_ENDPOINT), self.get(ENDPOINT)) {
            (Some(value), _) => (TRACES_ENDPOINT, value, true),
            (None, Some(value)) => (ENDPOINT, value, false),
            (None, None) => return None,
        };
        if self.is_off() {
            return None;
        }
        if let Some((name, protocol)) = self.first(PROTOCOLS)
            && protocol != SPOKEN
        {
            unused.push(format!(
                "no traces are sent: {name} is `{protocol}`; write `{SPOKEN}`, and a collector's URL for it, whose port is 4318 as a rule"
            ));
            return None;
        }
        let url = collector(value).map(|url| if is_whole { url } else { below(url) });
        heed(name, url, unused)
    }

    /// Whether the variables say that there are no traces.
    pub(super) fn is_off(&self) -> bool {
        let is_disabled = self.get(DISABLED).is_some_and(is_true);
        is_disabled || self.get(EXPORTER) == Some("none")
    }

    /// What the collector at that URL is told besides.
    pub(super) fn headers(&self, unused: &mut Vec<String>) -> CollectorHeaders {
        let headers = self.first(HEADERS).and_then(|(name, list)| {
            let read = CollectorHeaders::in_list(list).map_err(|error| BadValue {
                what: error.to_string(),
                mend: "write `name=value,name=value`",
            });
            heed(name, read, unused)
        });
        headers.unwrap_or_else(CollectorHeaders::none)
    }

    /// How long an export may take.
    pub(super) fn timeout(&self, unused: &mut Vec<String>) -> Option<Duration> {
        let (name, text) = self.first(TIMEOUTS)?;
        let read = text.parse().ok().filter(|millis| *millis > 0);
        let read = read.map(Duration::from_millis).ok_or_else(|| BadValue {
            what: format!("`{text}` is not a time"),
            mend: "write a number of milliseconds, such as `10000`",
        });
        heed(name, read, unused)
    }

    /// The name of this service.
    pub(super) fn service_name(&self) -> Option<String> {
        self.get(SERVICE_NAME).map(ToOwned::to_owned)
    }

    /// The share of traces that are kept.
    pub(super) fn sample_ratio(&self, unused: &mut Vec<String>) -> Option<f64> {
        match self.get(SAMPLER)? {
            "always_on" | "parentbased_always_on" => Some(1.0),
            "always_off" | "parentbased_always_off" => Some(0.0),
            "traceidratio" | "parentbased_traceidratio" => {
                let text = self.get(SAMPLER_ARG)?;
                let what = || BadValue {
                    what: format!("`{text}` is not a number"),
                    mend: RATIO,
                };
                let read = text.parse().map_err(|_| what()).and_then(ratio);
                heed(SAMPLER_ARG, read, unused)
            }
            other => {
                unused.push(format!(
                    "{SAMPLER} is not heeded: there is no `{other}` here; write `parentbased_traceidratio`, and the share in {SAMPLER_ARG}"
                ));
                None
            }
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn first(&self, names: [&'static str; 2]) -> Option<(&'static str, &str)> {
        let mut set = names
            .into_iter()
            .filter_map(|name| Some((name, self.get(name)?)));
        set.next()
    }
}

/// Without values, among which may be secrets.
impl fmt::Debug for OtelVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Reads the URL of a collector.
pub(super) fn collector(text: &str) -> Result<Url, BadValue> {
    let bad = |what: &str| BadValue {
        what: format!("this {what}"),
        mend: "write a URL such as \"http://127.0.0.1:4318\"; secrets go into `headers_file`",
    };
    let url = Url::parse(text).map_err(|_| bad("is not a collector's URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("is not a collector's URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("URL has a user or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("URL has a query or a fragment"));
    }
    Ok(url)
}

/// The URL for traces of a collector whose URL is for all signals.
pub(super) fn below(mut url: Url) -> Url {
    const PATH: &str = "/v1/traces";
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(PATH) {
        url.set_path(&format!("{path}{PATH}"));
    }
    url
}

/// Checks a share.
pub(super) fn ratio(number: f64) -> Result<f64, BadValue> {
    if (0.0..=1.0).contains(&number) {
        return Ok(number);
    }
    Err(BadValue {
        what: format!("{number} is not a share"),
        mend: RATIO,
    })
}

const RATIO: &str = "write a number from 0.0, for none, to 1.0, for all";

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

/// The value of a variable; one that is bad does not count, which is told.
fn heed<T>(name: &str, value: Result<T, BadValue>, unused: &mut Vec<String>) -> Option<T> {
    value
        .map_err(|bad| unused.push(format!("{name} is not heeded: {}; {}", bad.what, bad.mend)))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(set: &[(&'static str, &str)]) -> OtelVariables {
        OtelVariables::look_up(|name| {
            let mut values = set.iter().filter(|(own, _)| *own == name);
            values.next().map(|(_, value)| (*value).to_owned())
        })
    }

    fn url(set: &[(&'static str, &str)]) -> (Option<String>, Vec<String>) {
        let mut unused = Vec::new();
        let url = variables(set).url(&mut unused);
        (url.map(String::from), unused)
    }

    #[test]
    fn the_url_for_all_signals_gets_a_path_and_that_for_traces_is_as_it_is() {
        for (set, whole) in [
            (vec![(ENDPOINT, "http://c:4318")], "http://c:4318/v1/traces"),
            (vec![(ENDPOINT, "http://c/a/")], "http://c/a/v1/traces"),
            (
                vec![(ENDPOINT, "http://c/v1/traces/")],
                "http://c/v1/traces/",
            ),
            (
                vec![(ENDPOINT, "http://c"), (TRACES_ENDPOINT, "https://t/x")],
                "https://t/x",
            ),
        ] {
            assert_eq!(url(&set), (Some(whole.to_owned()), vec![]), "{set:?}");
        }
    }

    #[test]
    fn traces_that_nobody_wants_or_that_are_unknown_here_are_not_sent() {
        let endpoint = (ENDPOINT, "http://c:4318");
        for quiet in [
            vec![],
            vec![(ENDPOINT, " ")],
            vec![endpoint, (DISABLED, "TRUE")],
            vec![endpoint, (EXPORTER, "none")],
        ] {
            assert_eq!(url(&quiet), (None, vec![]), "{quiet:?}");
        }
        for (warned, told) in [
            (
                vec![endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                "PROTOCOL is `grpc`",
            ),
            (
                vec![(ENDPOINT, "http://u:hunter2@c")],
                "a user or a password",
            ),
            (vec![(ENDPOINT, "c:4318")], "not a collector's URL"),
        ] {
            let (none, unused) = url(&warned);
            assert_eq!(none, None, "{warned:?}");
            let [line] = &unused[..] else {
                panic!("{unused:?}");
            };
            assert!(line.contains(told) && !line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn a_share_is_that_of_the_sampler() {
        let arg = (SAMPLER_ARG, "0.25");
        for (set, share, is_warned) in [
            (vec![arg], None, false),
            (vec![(SAMPLER, "always_off")], Some(0.0), false),
            (
                vec![(SAMPLER, "parentbased_always_on"), arg],
                Some(1.0),
                false,
            ),
            (vec![(SAMPLER, "traceidratio"), arg], Some(0.25), false),
            (vec![(SAMPLER, "traceidratio")], None, false),
            (
                vec![(SAMPLER, "traceidratio"), (SAMPLER_ARG, "2")],
                None,
                true,
            ),
            (vec![(SAMPLER, "jaeger_remote")], None, true),
        ] {
            let mut unused = Vec::new();
            assert_eq!(variables(&set).sample_ratio(&mut unused), share, "{set:?}");
            assert_eq!(!unused.is_empty(), is_warned, "{set:?}: {unused:?}");
        }
    }

    #[test]
    fn times_are_milliseconds_and_headers_a_list() {
        let mut unused = Vec::new();
        let good = variables(&[(TIMEOUTS[1], "250"), (HEADERS[0], "a=b")]);
        let time = good.timeout(&mut unused);
        assert_eq!(time, Some(Duration::from_millis(250)));
        assert!(!good.headers(&mut unused).is_none());
        assert_eq!(unused, Vec::<String>::new());
        let bad = variables(&[(TIMEOUTS[0], "1s"), (HEADERS[1], "s3cr3t")]);
        assert_eq!(bad.timeout(&mut unused), None);
        assert!(bad.headers(&mut unused).is_none());
        assert_eq!(unused.len(), 2);
        assert!(!format!("{bad:?} {unused:?}").contains("s3cr3t"));
    }
}
