//! What is printed: a table, and attempts per second as bars.

use std::time::Duration;

use tokio::time::Instant;

use super::Seen;

/// The widest bar.
const WIDTH: usize = 60;

/// Prints all of it.
pub(super) fn print(measured: &[(&str, Seen, Option<Instant>)]) {
    println!(
        "| what | clients | cut within s | attempts | refreshes | most in 1 s | most in 100 ms | all in again after s |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (name, seen, returned) in measured {
        let Some(cut) = seen.losses.first().copied() else {
            continue;
        };
        let since = |at: Instant| at.saturating_duration_since(cut).as_secs_f64();
        let cut_within = seen.losses.last().copied().map_or(0.0, since);
        let last_open = seen.last_open.unwrap_or(cut);
        let there = returned.map_or(String::new(), |there| {
            let after = last_open.saturating_duration_since(there).as_secs_f64();
            format!(" ({after:.1} after the gate)")
        });
        println!(
            "| {name} | {} | {cut_within:.1} | {} | {} | {} | {} | {:.1}{there} |",
            seen.cut,
            seen.attempts.len(),
            seen.refreshes,
            most(seen, cut, Duration::from_secs(1)),
            most(seen, cut, Duration::from_millis(100)),
            since(last_open),
        );
    }
    for (name, seen, returned) in measured {
        if let Some(cut) = seen.losses.first().copied() {
            println!("\nAttempts per second, {name}:\n");
            let there = returned.map(|there| there.saturating_duration_since(cut).as_secs());
            print!("{}", bars(&per(seen, cut, Duration::from_secs(1)), there));
        }
    }
}

/// Attempts in each stretch of `time` after `cut`.
fn per(seen: &Seen, cut: Instant, time: Duration) -> Vec<usize> {
    let mut counts = Vec::new();
    for at in &seen.attempts {
        let stretch = at.saturating_duration_since(cut).as_nanos() / time.as_nanos();
        let stretch = usize::try_from(stretch).unwrap_or(usize::MAX);
        if counts.len() <= stretch {
            counts.resize(stretch + 1, 0);
        }
        counts[stretch] += 1;
    }
    counts
}

fn most(seen: &Seen, cut: Instant, time: Duration) -> usize {
    per(seen, cut, time).into_iter().max().unwrap_or(0)
}

/// A line for each second: its number, a bar, a count. The second in which the gate is there again is marked.
fn bars(counts: &[usize], there: Option<u64>) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut text = String::new();
    for (second, count) in counts.iter().enumerate() {
        let bar = "#".repeat((count * WIDTH).div_ceil(most));
        let mark = match there {
            Some(there) if there == second as u64 => "  < the gate is there again",
            _ => "",
        };
        text.push_str(&format!("    {second:>3} {bar} {count}{mark}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_by_the_second_since_the_cut() {
        let cut = Instant::now();
        let seen = Seen {
            attempts: [0, 999, 1000, 3500]
                .map(|ms| cut + Duration::from_millis(ms))
                .into(),
            ..Seen::default()
        };
        assert_eq!(per(&seen, cut, Duration::from_secs(1)), [2, 1, 0, 1]);
        assert_eq!(most(&seen, cut, Duration::from_secs(1)), 2);
    }

    #[test]
    fn a_bar_is_as_long_as_its_part_of_the_longest() {
        let text = bars(&[120, 1, 0, 60], Some(2));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].matches('#').count(), WIDTH);
        assert_eq!(lines[1].matches('#').count(), 1);
        assert!(lines[2].ends_with("  0  < the gate is there again"));
        assert_eq!(lines[3].matches('#').count(), WIDTH / 2);
    }
}
