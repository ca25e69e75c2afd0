//! The cron expressions against a naive reading of the same rules.
//!
//! The naive side reads fields in its own way and walks real minutes forward, looking at the clock on the wall: a
//! minute fires when the wall shows, or has just jumped over, a matching time that it never showed before. It
//! only asks `chrono-tz` what the wall shows, never the reverse. `PROPTEST_CASES` raises the number of cases
//! (50 000 at least).

use std::cell::Cell;

use capstan_domain::cron::{CronExpression, Zone};
use chrono::{DateTime, Datelike, Duration, NaiveDateTime, Offset, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use proptest::sample::select;

const CASES: u32 = 50_000;
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "America/St_Johns",
    "Pacific/Apia",
    "Africa/Cairo",
    "America/Sao_Paulo",
    "Pacific/Kwajalein",
    "Antarctica/Troll",
];
const MONTHS: &str = "jan feb mar apr may jun jul aug sep oct nov dec";
const WEEKDAYS: &str = "sun mon tue wed thu fri sat";

/// An expression read naively: one flag per value and field.
struct Naive {
    fields: [Vec<bool>; 5],
    either_day: bool,
}

impl Naive {
    fn read(expression: &str) -> Self {
        let texts: Vec<&str> = expression.split(' ').collect();
        let spans = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        let fields = std::array::from_fn(|place| {
            let names = match place {
                3 => MONTHS,
                4 => WEEKDAYS,
                _ => "",
            };
            flags(texts[place], spans[place], names)
        });
        let open = |text: &str| text.split(',').any(|item| matches!(item.trim_end_matches("/1"), "*" | "?"));
        Self { fields, either_day: !open(texts[2]) && !open(texts[4]) }
    }

    fn day_matches(&self, wall: NaiveDateTime) -> bool {
        let day = self.fields[2][wall.day() as usize];
        let weekday = self.fields[4][wall.weekday().num_days_from_sunday() as usize];
        let days = if self.either_day { day || weekday } else { day && weekday };
        days && self.fields[3][wall.month() as usize]
    }

    fn hour_matches(&self, wall: NaiveDateTime) -> bool {
        self.day_matches(wall) && self.fields[1][wall.hour() as usize]
    }

    fn matches(&self, wall: NaiveDateTime) -> bool {
        self.hour_matches(wall) && self.fields[0][wall.minute() as usize]
    }
}

/// Asks of each value whether any item of the list covers it.
fn flags(text: &str, (least, greatest): (usize, usize), names: &str) -> Vec<bool> {
    let place_of = |text: &str| names.split(' ').position(|name| name == text.to_lowercase());
    let value =
        |text: &str| text.parse().unwrap_or_else(|_| place_of(text).expect("a number or a name") + least);
    let covers = |item: &str, asked: usize| {
        let mut parts = item.split('/');
        let range = parts.next().expect("a part");
        let step = parts.next().map(|step| step.parse::<usize>().expect("a step"));
        let mut ends = range.split('-');
        let first = ends.next().expect("an end");
        let (from, to) = match (first, ends.next(), step) {
            ("*" | "?", _, _) => (least, greatest),
            (_, Some(end), _) => (value(first), value(end)),
            (_, None, Some(_)) => (value(first), greatest),
            (_, None, None) => (value(first), value(first)),
        };
        from <= asked && asked <= to && (asked - from).is_multiple_of(step.unwrap_or(1))
    };
    let weekday = greatest == 6;
    (0..=greatest)
        .map(|asked| {
            text.split(',').any(|item| covers(item, asked) || (weekday && asked == 0 && covers(item, 7)))
        })
        .collect()
}

/// The local time of a zone.
fn wall(zone: Tz, instant: DateTime<Utc>) -> NaiveDateTime {
    let utc = instant.naive_utc();
    utc + Duration::seconds(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc().into())
}

/// Walks minutes from well before `after` until one after it fires, up to `horizon`.
///
/// With `leaps`, days and hours that cannot match are left out when the wall runs evenly through them.
fn walk(
    naive: &Naive,
    zone: Tz,
    after: DateTime<Utc>,
    horizon: DateTime<Utc>,
    leaps: bool,
) -> Option<DateTime<Utc>> {
    let minute = Duration::minutes(1);
    let mut now = after.with_second(0)?.with_nanosecond(0)?;
    let mut seen = wall(zone, now);
    // Longer than any clock is put back in these zones and years.
    let run_up = Duration::hours(4);
    if !leaps || wall(zone, now - run_up) + run_up != seen {
        now -= run_up;
        seen = wall(zone, now);
    }
    while now < horizon {
        now += minute;
        let face = wall(zone, now);
        while seen < face {
            seen += minute;
            // Everything jumped over fires now, at the first minute the wall shows again.
            if now > after && naive.matches(seen) {
                return Some(now);
            }
        }
        if leaps && face == seen && now > after {
            let rest_of_day = 1439 - i64::from(face.hour() * 60 + face.minute());
            let rest_of_hour = 59 - i64::from(face.minute());
            let leap = if !naive.day_matches(face) {
                rest_of_day
            } else if !naive.hour_matches(face) {
                rest_of_hour
            } else {
                0
            };
            let leap = Duration::minutes(leap);
            if wall(zone, now + leap) == face + leap {
                now += leap;
                seen += leap;
            }
        }
    }
    None
}

/// Instants at which the zone's clocks were changed, to the minute.
fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    let first = Utc.with_ymd_and_hms(1993, 1, 1, 0, 0, 0).unwrap();
    let skew = |instant: DateTime<Utc>| wall(zone, instant) - instant.naive_utc();
    let mut found = Vec::new();
    for day in 0..50 * 366 {
        let (mut before, mut behind) = (first + Duration::days(day), first + Duration::days(day + 1));
        if skew(before) == skew(behind) {
            continue;
        }
        while behind - before > Duration::minutes(1) {
            let middle = before + Duration::minutes((behind - before).num_minutes() / 2);
            if skew(middle) == skew(before) { before = middle } else { behind = middle }
        }
        found.push(behind);
    }
    found
}

/// One field: mostly plain, often a star, sometimes everything cron can say.
fn field(least: u32, greatest: u32, top: u32, names: &'static str, star: u32) -> BoxedStrategy<String> {
    let value = move || {
        let number = (least..=top).prop_map(|value| value.to_string()).boxed();
        if names.is_empty() {
            return number;
        }
        let name = select(names.split(' ').collect::<Vec<_>>());
        let name = (name, 0..3).prop_map(|(name, case)| match case {
            0 => name.to_owned(),
            1 => name.to_uppercase(),
            _ => name[..1].to_uppercase() + &name[1..],
        });
        prop_oneof![2 => number, 1 => name].boxed()
    };
    let range = (least..=top, least..=top).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let range = if names.is_empty() {
        range.boxed()
    } else {
        let names: Vec<&str> = names.split(' ').collect();
        let by_name = (0..names.len(), 0..names.len())
            .prop_map(move |(a, b)| format!("{}-{}", names[a.min(b)], names[a.max(b)]));
        prop_oneof![2 => range, 1 => by_name].boxed()
    };
    let step = 1..=(greatest / 2 + 2);
    let item = prop_oneof![
        6 => value(),
        3 => range.clone(),
        2 => (range, step.clone()).prop_map(|(range, step)| format!("{range}/{step}")),
        2 => (select(vec!["*", "?"]), step.clone()).prop_map(|(any, step)| format!("{any}/{step}")),
        1 => (least..=greatest, step).prop_map(|(from, step)| format!("{from}/{step}")),
    ];
    prop_oneof![
        star => select(vec!["*", "*", "*", "?"]).prop_map(str::to_owned),
        6 => item.clone(),
        2 => prop::collection::vec(item, 2..4).prop_map(|items| items.join(",")),
    ]
    .boxed()
}

fn expressions() -> impl Strategy<Value = String> {
    let fields = (
        field(0, 59, 59, "", 4),
        field(0, 23, 23, "", 6),
        field(1, 31, 31, "", 10),
        field(1, 12, 12, MONTHS, 16),
        field(0, 6, 7, WEEKDAYS, 10),
    );
    fields.prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

/// A zone and an instant, mostly near a change of its clocks.
fn moments() -> impl Strategy<Value = (Tz, DateTime<Utc>)> {
    let zones: Vec<(Tz, Vec<DateTime<Utc>>)> = ZONES
        .iter()
        .map(|name| {
            let zone: Tz = name.parse().expect("a zone");
            (zone, changes(zone))
        })
        .collect();
    let anywhere = Utc.with_ymd_and_hms(1993, 1, 2, 0, 0, 0).unwrap();
    (select(zones), any::<prop::sample::Index>(), 0..4, -200_000_i64..200_000, 0..1_500_000_000_i64).prop_map(
        move |((zone, changes), which, far, around, free)| {
            let instant = match far {
                0 => anywhere + Duration::seconds(free),
                _ if changes.is_empty() => anywhere + Duration::seconds(free),
                // Within some two days, or within some two hours.
                1 => changes[which.index(changes.len())] + Duration::seconds(around),
                _ => changes[which.index(changes.len())] + Duration::seconds(around / 26),
            };
            // Half of them on a full minute, where "strictly after" decides.
            let instant =
                if free % 2 == 0 { instant.with_second(0).expect("second 0 exists") } else { instant };
            (zone, instant)
        },
    )
}

fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig { cases: asked.cases.max(CASES), source_file: Some(file!()), ..asked }
}

#[test]
fn the_next_firing_is_what_a_walk_along_the_wall_clock_finds() {
    let cases = Cell::new(0_u32);
    let found = Cell::new(0_u32);
    let mut runner = proptest::test_runner::TestRunner::new(config());
    let outcome = runner.run(&(expressions(), moments()), |(text, (zone, after))| {
        let expression = CronExpression::parse(&text)
            .map_err(|fault| TestCaseError::fail(format!("{text} is refused: {fault}")))?;
        let naive = Naive::read(&text);
        let next = expression.next_after(after, &Zone::parse(zone.name()).expect("a zone"));
        let case = cases.replace(cases.get() + 1);
        // A few walk every single minute, so that the leaps are tested as well.
        let (days, leaps) = match case % 200 {
            0 => (4, false),
            1..20 => (1500, true),
            _ => (60, true),
        };
        let horizon = after + Duration::days(days);
        let walked = walk(&naive, zone, after, horizon, leaps);
        found.set(found.get() + u32::from(walked.is_some()));
        prop_assert_eq!(
            walked,
            next.filter(|next| *next <= horizon || walked.is_some()),
            "{} in {} after {}",
            text,
            zone,
            after
        );
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    assert!(cases.get() >= CASES, "{} cases", cases.get());
    assert!(found.get() > cases.get() / 10 * 8, "only {} of {} fire at all", found.get(), cases.get());
}

#[test]
fn the_instants_are_near_gaps_and_folds_of_every_kind() {
    let mut kinds = std::collections::BTreeSet::new();
    for name in ZONES {
        let zone: Tz = name.parse().expect("a zone");
        for change in changes(zone) {
            let before = wall(zone, change - Duration::minutes(1));
            kinds.insert((wall(zone, change) - before).num_minutes() - 1);
        }
    }
    // Half an hour, an hour, two hours (Troll) and a whole day (Apia, Kwajalein), forward; all but the day, back.
    for kind in [30, 60, 120, 1440, -30, -60, -120] {
        assert!(kinds.contains(&kind), "no change by {kind} minutes: {kinds:?}");
    }
}
