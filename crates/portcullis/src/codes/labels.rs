//! Tables of close codes for clients: code to label and recovery, and what to make of a code that
//! the table does not have.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use portcullis_boundary::close::CodeTable;
use portcullis_boundary::refusal::RefusalKind;

use super::WRITTEN;

/// What a client makes of one code.
struct Label {
    code: u16,
    recovery: &'static str,
    label: &'static str,
}

/// A module of TypeScript.
pub(crate) fn typescript(codes: &CodeTable) -> String {
    let mut text = head("//", "typescript", codes);
    text.push_str(
        "export type Recovery = \"refresh\" | \"login\" | \"retry\" | \"stop\";\n\n\
         export interface CloseLabel {\n  readonly recovery: Recovery;\n  readonly label: string;\n}\n\n\
         /** By close code. */\n\
         export const CLOSE_CODES: Readonly<Record<number, CloseLabel>> = {\n",
    );
    for Label {
        code,
        recovery,
        label,
    } in labels(codes)
    {
        writeln!(
            text,
            "  {code}: {{ recovery: \"{recovery}\", label: \"{label}\" }},"
        )
        .expect(WRITTEN);
    }
    text.push_str("};\n\n/** By refusal, which is the reason of the close frame. */\nexport const REFUSALS: Readonly<Record<string, CloseLabel>> = {\n");
    for (refusal, recovery, label) in refusals(codes) {
        writeln!(
            text,
            "  {refusal}: {{ recovery: \"{recovery}\", label: \"{label}\" }},"
        )
        .expect(WRITTEN);
    }
    text.push_str(
        "};\n\n/** What to do after a close; codes that the table does not have degrade by range. */\n\
         export function recoveryFor(code: number, reason = \"\"): Recovery {\n\
         \x20 const known = REFUSALS[reason] ?? CLOSE_CODES[code];\n\
         \x20 if (known) return known.recovery;\n\
         \x20 if (code === 1008) return \"login\";\n\
         \x20 const within = (low: number, high: number) => code >= low && code <= high;\n\
         \x20 const passing = code === 1001 || code === 1005 || code === 1006 || within(1011, 1014);\n\
         \x20 return passing || within(3000, 3499) || within(4000, 4499) ? \"retry\" : \"stop\";\n\
         }\n",
    );
    text
}

/// A library of Dart.
pub(crate) fn dart(codes: &CodeTable) -> String {
    let mut text = head("//", "dart", codes);
    text.push_str(
        "enum Recovery { refresh, login, retry, stop }\n\n\
         typedef CloseLabel = ({Recovery recovery, String label});\n\n\
         /// By close code.\n\
         const Map<int, CloseLabel> closeCodes = {\n",
    );
    for Label {
        code,
        recovery,
        label,
    } in labels(codes)
    {
        writeln!(
            text,
            "  {code}: (recovery: Recovery.{recovery}, label: \"{label}\"),"
        )
        .expect(WRITTEN);
    }
    text.push_str("};\n\n/// By refusal, which is the reason of the close frame.\nconst Map<String, CloseLabel> refusals = {\n");
    for (refusal, recovery, label) in refusals(codes) {
        writeln!(
            text,
            "  '{refusal}': (recovery: Recovery.{recovery}, label: \"{label}\"),"
        )
        .expect(WRITTEN);
    }
    text.push_str(
        "};\n\n/// What to do after a close; codes that the table does not have degrade by range.\n\
         Recovery recoveryFor(int code, [String reason = '']) {\n\
         \x20 final known = refusals[reason] ?? closeCodes[code];\n\
         \x20 if (known != null) return known.recovery;\n\
         \x20 if (code == 1008) return Recovery.login;\n\
         \x20 bool within(int low, int high) => code >= low && code <= high;\n\
         \x20 final passing = code == 1001 || code == 1005 || code == 1006 || within(1011, 1014);\n\
         \x20 return passing || within(3000, 3499) || within(4000, 4499) ? Recovery.retry : Recovery.stop;\n\
         }\n",
    );
    text
}

/// A module of Python.
pub(crate) fn python(codes: &CodeTable) -> String {
    let mut text = head("#", "python", codes);
    text.push_str(
        "from __future__ import annotations\n\n\
         from typing import Literal, NamedTuple\n\n\
         Recovery = Literal[\"refresh\", \"login\", \"retry\", \"stop\"]\n\n\n\
         class CloseLabel(NamedTuple):\n    recovery: Recovery\n    label: str\n\n\n\
         # By close code.\n\
         CLOSE_CODES: dict[int, CloseLabel] = {\n",
    );
    for Label {
        code,
        recovery,
        label,
    } in labels(codes)
    {
        writeln!(text, "    {code}: CloseLabel(\"{recovery}\", \"{label}\"),").expect(WRITTEN);
    }
    text.push_str("}\n\n# By refusal, which is the reason of the close frame.\nREFUSALS: dict[str, CloseLabel] = {\n");
    for (refusal, recovery, label) in refusals(codes) {
        writeln!(
            text,
            "    \"{refusal}\": CloseLabel(\"{recovery}\", \"{label}\"),"
        )
        .expect(WRITTEN);
    }
    text.push_str(
        "}\n\n\n\
         def recovery_for(code: int, reason: str = \"\") -> Recovery:\n\
         \x20   \"\"\"What to do after a close; codes that the table does not have degrade by range.\"\"\"\n\
         \x20   known = REFUSALS.get(reason) or CLOSE_CODES.get(code)\n\
         \x20   if known:\n\
         \x20       return known.recovery\n\
         \x20   if code == 1008:\n\
         \x20       return \"login\"\n\
         \x20   passing = code in (1001, 1005, 1006) or 1011 <= code <= 1014\n\
         \x20   return \"retry\" if passing or 3000 <= code <= 3499 or 4000 <= code <= 4499 else \"stop\"\n",
    );
    text
}

/// A file of Swift.
pub(crate) fn swift(codes: &CodeTable) -> String {
    let mut text = head("//", "swift", codes);
    text.push_str(
        "public enum Recovery: String, Sendable {\n    case refresh, login, retry, stop\n}\n\n\
         public struct CloseLabel: Sendable {\n    public let recovery: Recovery\n    public let label: String\n}\n\n\
         /// By close code.\n\
         public let closeCodes: [Int: CloseLabel] = [\n",
    );
    for Label {
        code,
        recovery,
        label,
    } in labels(codes)
    {
        writeln!(
            text,
            "    {code}: CloseLabel(recovery: .{recovery}, label: \"{label}\"),"
        )
        .expect(WRITTEN);
    }
    text.push_str("]\n\n/// By refusal, which is the reason of the close frame.\npublic let refusals: [String: CloseLabel] = [\n");
    for (refusal, recovery, label) in refusals(codes) {
        writeln!(
            text,
            "    \"{refusal}\": CloseLabel(recovery: .{recovery}, label: \"{label}\"),"
        )
        .expect(WRITTEN);
    }
    text.push_str(
        "]\n\n/// What to do after a close; codes that the table does not have degrade by range.\n\
         public func recovery(for code: Int, reason: String = \"\") -> Recovery {\n\
         \x20   if let known = refusals[reason] ?? closeCodes[code] { return known.recovery }\n\
         \x20   switch code {\n\
         \x20   case 1008: return .login\n\
         \x20   case 1001, 1005, 1006, 1011...1014, 3000...3499, 4000...4499: return .retry\n\
         \x20   default: return .stop\n\
         \x20   }\n\
         }\n",
    );
    text
}

fn head(comment: &str, format: &str, codes: &CodeTable) -> String {
    let preset = codes.preset().name();
    format!("{comment} Generated by `portcullis codes --format {format} --preset {preset}`.\n\n")
}

/// Each code once, in order. Where refusals share one, the recovery is what the table says of the
/// code, and the label that of the first refusal with this recovery.
fn labels(codes: &CodeTable) -> impl Iterator<Item = Label> {
    let mut labels: BTreeMap<u16, Label> = BTreeMap::new();
    for kind in RefusalKind::ALL {
        let Some(code) = codes.code(kind).map(|code| code.get()) else {
            continue;
        };
        let recovery = codes.recovery(code);
        if kind.row().recovery == recovery {
            labels.entry(code).or_insert_with(|| Label {
                code,
                recovery: recovery.as_str(),
                label: kind.row().meaning,
            });
        }
    }
    labels.into_values()
}

fn refusals(codes: &CodeTable) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let told = RefusalKind::ALL
        .into_iter()
        .filter(|kind| codes.code(*kind).is_some());
    told.map(|kind| {
        (
            kind.as_str(),
            kind.row().recovery.as_str(),
            kind.row().meaning,
        )
    })
}

#[cfg(test)]
mod tests {
    use portcullis_boundary::close::Preset;

    use super::*;

    #[test]
    fn no_label_needs_escaping_in_any_language() {
        for kind in RefusalKind::ALL {
            let meaning = kind.row().meaning;
            assert!(!meaning.contains(['"', '\\', '$']), "{meaning}");
        }
    }

    #[test]
    fn every_code_of_every_preset_has_a_label() {
        for preset in Preset::ALL {
            let codes = CodeTable::new(preset);
            let labelled: Vec<u16> = labels(&codes).map(|label| label.code).collect();
            for kind in RefusalKind::ALL {
                if let Some(code) = codes.code(kind) {
                    assert!(
                        labelled.contains(&code.get()),
                        "{kind} in {}",
                        preset.name()
                    );
                }
            }
        }
    }
}
