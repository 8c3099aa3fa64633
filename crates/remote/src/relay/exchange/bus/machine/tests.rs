//! Two ends of a link, and a bus between them that loses, doubles, delays and overtakes.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const PACE: Pace = Pace {
    beat: Duration::from_secs(2),
    silence: Duration::from_secs(7),
};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// An end says something of so many KiB.
    Say(usize, u8),
    /// An end takes a word.
    Take(usize),
    /// Frames for an end arrive, in order.
    Arrive(usize, u8),
    /// A frame for an end arrives twice.
    Double(usize),
    /// A frame for an end arrives before an earlier one.
    Overtake(usize, u8),
    /// A frame for an end is lost.
    Lose(usize, u8),
    /// An end is told that something may be lost.
    Miss(usize),
    /// So many tenths of a second pass.
    Wait(u8),
}

proptest! {
    #[test]
    fn whatever_the_bus_does_an_end_takes_what_was_said_in_order_or_both_end(
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check()?;
        }
        world.come_to_rest();
        world.check()?;
        let [one, other] = &world.ends;
        prop_assert_eq!(one.broken.is_some(), other.broken.is_some());
        if one.broken.is_none() {
            prop_assert_eq!(&one.said, &other.heard);
            prop_assert_eq!(&other.said, &one.heard);
        }
    }

    #[test]
    fn a_bus_that_only_delays_and_doubles_ends_nothing(
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Overtake(..) | Step::Lose(..) | Step::Wait(_) => {}
                Step::Say(..) | Step::Take(_) | Step::Arrive(..) | Step::Double(_) | Step::Miss(_) => {
                    world.step(step);
                }
            }
        }
        world.come_to_rest();
        for (end, other) in [(0, 1), (1, 0)] {
            prop_assert_eq!(world.ends[end].broken, None);
            prop_assert_eq!(&world.ends[end].said, &world.ends[other].heard);
        }
    }

    #[test]
    fn no_frame_does_more_than_end_a_link(
        frames in proptest::collection::vec((0..10_usize, 0..40_u64, 0..3_u64, any::<[u8; 3]>()), 1..60),
    ) {
        let mut machine = Machine::new(PACE, Moment::default());
        for (kind, number, taken, piece) in frames {
            let kind = KINDS[kind];
            let piece = Bytes::copy_from_slice(&piece);
            let frame = Frame { kind, number, taken, piece };
            if machine.hear(frame, Moment::default()).is_err() || machine.take().is_err() {
                break;
            }
        }
    }
}

#[test]
fn an_envelope_goes_in_as_many_frames_as_it_needs_and_no_more_than_a_window_at_once() {
    let now = Moment::default();
    let (mut one, mut other) = (Machine::new(PACE, now), Machine::new(PACE, now));
    let text = "x".repeat(PIECE * 40 + 1);
    one.say(Word::Envelope(text.clone()));
    let mut frames = 0;
    let taken = loop {
        let burst: Vec<Frame> = std::iter::from_fn(|| one.next(now)).collect();
        assert!(burst.len() as u64 <= WINDOW && !burst.is_empty());
        frames += burst.len();
        for frame in burst {
            other.hear(frame, now).expect("in order");
        }
        if let Some(word) = other.take().expect("whole") {
            break word;
        }
        while let Some(beat) = other.next(now) {
            one.hear(beat, now).expect("a beat");
        }
    };
    assert_eq!((taken, frames), (Word::Envelope(text), 41));
}

#[test]
fn who_does_not_take_stops_the_other_and_is_not_taken_for_gone() {
    let mut now = Moment::default();
    let (mut one, mut other) = (Machine::new(PACE, now), Machine::new(PACE, now));
    one.say(Word::Envelope("x".repeat(PIECE * 40)));
    for _ in 0..60 {
        now = now.after(Duration::from_secs(1));
        while let Some(frame) = one.next(now) {
            other.hear(frame, now).expect("within the window");
        }
        while let Some(frame) = other.next(now) {
            one.hear(frame, now).expect("beats");
        }
        assert_eq!((one.tick(now), other.tick(now)), (Ok(()), Ok(())));
    }
    assert_eq!(other.untaken.len() as u64, WINDOW);
}

#[test]
fn an_end_that_is_gone_is_noticed_in_time_and_so_is_a_last_word_that_was_lost() {
    let start = Moment::default();
    let (mut one, mut other) = (Machine::new(PACE, start), Machine::new(PACE, start));
    while one.next(start).is_some() {}
    one.say(Word::Slow);
    one.next(start).expect("it is lost");
    assert_eq!(one.next(start), None);
    let later = start.after(PACE.beat);
    let beat = one.next(later).expect("a beat is due");
    assert_eq!(other.hear(beat, later), Err(Broken::Gap));
    assert_eq!(one.tick(start.after(PACE.silence)), Err(Broken::Silent));
    assert!(one.deadline() <= start.after(PACE.silence));
}

#[test]
fn an_envelope_that_never_ends_is_cut_off() {
    let now = Moment::default();
    let mut machine = Machine::new(PACE, now);
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let mut number = 0;
    let end = loop {
        number += 1;
        let frame = Frame {
            kind: Kind::Part,
            number,
            taken: 0,
            piece: piece.clone(),
        };
        machine.hear(frame, now).expect("in order");
        if let Err(end) = machine.take() {
            break end;
        }
        assert!(machine.begun.len() <= MAX_ENVELOPE_TEXT);
    };
    assert_eq!(end, Broken::Malformed);
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![6 => Just(0_u8), 2 => any::<u8>()];
    prop_oneof![
        5 => (0..2_usize, size).prop_map(|(end, size)| Step::Say(end, size)),
        4 => (0..2_usize).prop_map(Step::Take),
        8 => (0..2_usize, 1..6_u8).prop_map(|(end, frames)| Step::Arrive(end, frames)),
        2 => (0..2_usize).prop_map(Step::Double),
        1 => (0..2_usize, any::<u8>()).prop_map(|(end, at)| Step::Overtake(end, at)),
        1 => (0..2_usize, any::<u8>()).prop_map(|(end, at)| Step::Lose(end, at)),
        1 => (0..2_usize).prop_map(Step::Miss),
        1 => (0..30_u8).prop_map(Step::Wait),
    ]
}

struct World {
    ends: [End; 2],
    now: Moment,
}

struct End {
    machine: Machine,
    /// Frames on their way to it.
    coming: VecDeque<Frame>,
    to_say: VecDeque<Word>,
    said: Vec<Word>,
    heard: Vec<Word>,
    broken: Option<Broken>,
}

impl World {
    fn new() -> Self {
        let now = Moment::default();
        let end = || End {
            machine: Machine::new(PACE, now),
            coming: VecDeque::new(),
            to_say: VecDeque::new(),
            said: Vec::new(),
            heard: Vec::new(),
            broken: None,
        };
        Self {
            ends: [end(), end()],
            now,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Say(end, kib) => {
                let end = &mut self.ends[end];
                let text = format!("{} {}", end.said.len(), "x".repeat(usize::from(kib) * 1024));
                let word = if kib == 1 {
                    Word::Settled(Version::V3)
                } else {
                    Word::Envelope(text)
                };
                end.said.push(word.clone());
                end.to_say.push_back(word);
            }
            Step::Take(end) => self.take(end),
            Step::Arrive(end, frames) => {
                for _ in 0..frames {
                    self.arrive(end, 0);
                }
            }
            Step::Double(end) => {
                if let Some(frame) = self.ends[end].coming.front().cloned() {
                    self.ends[end].coming.push_front(frame);
                }
                self.arrive(end, 0);
                self.arrive(end, 0);
            }
            Step::Overtake(end, at) => {
                let at = usize::from(at) % self.ends[end].coming.len().max(1);
                self.arrive(end, at);
            }
            Step::Lose(end, at) => {
                let at = usize::from(at) % self.ends[end].coming.len().max(1);
                self.ends[end].coming.remove(at);
            }
            Step::Miss(end) => self.ends[end].machine.missed(),
            Step::Wait(tenths) => {
                self.now = self
                    .now
                    .after(Duration::from_millis(100) * u32::from(tenths));
            }
        }
        self.speak();
    }

    fn arrive(&mut self, end: usize, at: usize) {
        let now = self.now;
        let end = &mut self.ends[end];
        if let Some(frame) = end.coming.remove(at)
            && end.broken.is_none()
            && let Err(broken) = end.machine.hear(frame, now)
        {
            end.broken = Some(broken);
        }
    }

    fn take(&mut self, end: usize) {
        let end = &mut self.ends[end];
        if end.broken.is_none() {
            match end.machine.take() {
                Ok(word) => end.heard.extend(word),
                Err(broken) => end.broken = Some(broken),
            }
        }
    }

    /// Each end says what it may, unless the other's silence is its end.
    fn speak(&mut self) {
        for (at, other) in [(0, 1), (1, 0)] {
            let end = &mut self.ends[at];
            if end.broken.is_none()
                && let Err(broken) = end.machine.tick(self.now)
            {
                end.broken = Some(broken);
            }
            let mut spoken = Vec::new();
            while end.broken.is_none() {
                if end.machine.is_ready()
                    && let Some(word) = end.to_say.pop_front()
                {
                    end.machine.say(word);
                }
                match end.machine.next(self.now) {
                    Some(frame) => spoken.push(frame),
                    None => break,
                }
            }
            self.ends[other].coming.extend(spoken);
        }
    }

    /// From here on the bus is good, and time passes.
    fn come_to_rest(&mut self) {
        for _ in 0..600 {
            for end in [0, 1] {
                while !self.ends[end].coming.is_empty() {
                    self.arrive(end, 0);
                    self.take(end);
                }
                self.take(end);
            }
            self.now = self.now.after(Duration::from_millis(500));
            self.speak();
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (end, other) in [(0, 1), (1, 0)] {
            let (end, other) = (&self.ends[end], &self.ends[other]);
            prop_assert!(other.said.starts_with(&end.heard));
            prop_assert!(end.machine.untaken.len() as u64 <= WINDOW);
            prop_assert!(end.machine.said - end.machine.acknowledged <= WINDOW);
        }
        Ok(())
    }
}

const KINDS: [Kind; 10] = [
    Kind::Beat,
    Kind::Cut,
    Kind::Here,
    Kind::Opened,
    Kind::Full,
    Kind::Part,
    Kind::Last,
    Kind::Settled,
    Kind::Slow,
    Kind::Bye,
];
