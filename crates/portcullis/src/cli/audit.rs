//! `portcullis audit`

use clap::{Args, ValueEnum};

use super::operator::OperatorArgs;
use super::table::Column;
use crate::output::Exit;

/// What `audit` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis audit --subject ada --since 2026-11-24T20:00:00Z
      What was decided about Ada since then, the latest first
  portcullis audit --kind end --outcome revoked --limit 1000 --json
      The sessions that a revocation ended, for programs
  portcullis audit --kind admin
      What operators did
  portcullis audit --kind turn --subject ada
      What Ada asked of models, and how many tokens it took")]
pub(crate) struct AuditArgs {
    /// From this time on, as 2026-11-24T20:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Records of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,

    /// Records of this subject
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,

    /// Records of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,

    /// Records with this outcome: `admitted`, a refusal, an end, or what was done
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,

    /// Records of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,

    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// What a record is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    /// An arrival was admitted or refused
    Decision,
    /// A session ended
    End,
    /// An operator changed something
    Admin,
    /// Somebody logged in or out
    Login,
    /// A model answered, or failed to
    Turn,
    /// An account enrolled a host, or paired or removed a device
    Host,
}

/// Prints records, the latest first.
pub(crate) fn run(args: &AuditArgs) -> anyhow::Result<Exit> {
    let kind = args.kind.and_then(|kind| kind.to_possible_value());
    let query = [
        ("since", args.since.clone()),
        ("until", args.until.clone()),
        ("kind", kind.map(|kind| kind.get_name().to_owned())),
        ("subject", args.subject.clone()),
        ("route", args.route.clone()),
        ("outcome", args.outcome.clone()),
        ("session", args.session.clone()),
    ];
    let list = args.operator.client()?.list("/audit", &query, args.limit)?;
    args.operator.print_list(&COLUMNS, &list);
    Ok(Exit::Clean)
}

const COLUMNS: [Column; 9] = [
    ("AT", "at"),
    ("KIND", "kind"),
    ("OUTCOME", "outcome"),
    ("SUBJECT", "subject"),
    ("ROUTE", "route"),
    ("ADDRESS", "address"),
    ("CODE", "code"),
    ("BY", "by"),
    ("DETAIL", "detail"),
];
