use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an RFC 3339 instant")
}

#[track_caller]
fn next(expression: &str, zone: &str, after: &str) -> DateTime<Utc> {
    let expression = CronExpression::parse(expression).expect("a good expression");
    expression.next_after(at(after), &Zone::parse(zone).expect("a zone")).expect("fires again")
}

#[track_caller]
fn fires(expression: &str, zone: &str, after: &str, expected: &[&str]) {
    let expression = CronExpression::parse(expression).expect("a good expression");
    let zone = Zone::parse(zone).expect("a zone");
    let expected: Vec<_> = expected.iter().map(|instant| at(instant)).collect();
    let found = upcoming(&expression, at(after), zone, expected.len());
    assert_eq!(found, expected, "{} in {zone}", expression.as_str());
}

/// The first `count` firings strictly after `after`.
fn upcoming(
    expression: &CronExpression,
    after: DateTime<Utc>,
    zone: Zone,
    count: usize,
) -> Vec<DateTime<Utc>> {
    std::iter::successors(expression.next_after(after, &zone), |last| expression.next_after(*last, &zone))
        .take(count)
        .collect()
}

#[track_caller]
fn refused(expression: &str, field: CronField, says: &str) {
    let fault = CronExpression::parse(expression).expect_err("a bad expression");
    assert_eq!(fault.field, field, "{fault}");
    assert!(fault.to_string().contains(says), "{fault}");
}

#[track_caller]
fn same(left: &str, right: &str) {
    let after = at("2026-01-30T11:11:11Z");
    let firings = |text: &str| {
        let expression = CronExpression::parse(text).expect("a good expression");
        upcoming(&expression, after, Zone::UTC, 200)
    };
    assert_eq!(firings(left), firings(right), "{left} and {right}");
}

#[test]
fn nine_o_clock_is_nine_o_clock_in_the_zone() {
    assert_eq!(next("0 9 * * *", "UTC", "2026-01-15T08:00:00Z"), at("2026-01-15T09:00:00Z"));
    assert_eq!(next("0 9 * * *", "America/New_York", "2026-01-15T08:00:00Z"), at("2026-01-15T14:00:00Z"));
    assert_eq!(next("0 9 * * *", "America/New_York", "2026-07-15T08:00:00Z"), at("2026-07-15T13:00:00Z"));
    assert_eq!(next("0 9 * * *", "Asia/Kolkata", "2026-07-15T08:00:00Z"), at("2026-07-16T03:30:00Z"));
}

#[test]
fn the_next_firing_is_strictly_after_the_reference_instant() {
    assert_eq!(next("0 9 * * *", "UTC", "2026-01-15T08:59:59.999Z"), at("2026-01-15T09:00:00Z"));
    assert_eq!(next("0 9 * * *", "UTC", "2026-01-15T09:00:00Z"), at("2026-01-16T09:00:00Z"));
    assert_eq!(next("0 9 * * *", "UTC", "2026-01-15T09:00:00.001Z"), at("2026-01-16T09:00:00Z"));
    assert_eq!(next("* * * * *", "UTC", "2026-12-31T23:59:30Z"), at("2027-01-01T00:00:00Z"));
}

#[test]
fn an_empty_or_unknown_zone_cannot_be_chosen() {
    for name in ["", " ", "Mars/Olympus", "+02:00", "europe/berlin"] {
        assert!(Zone::parse(name).is_err(), "{name}");
    }
    assert_eq!(Zone::parse("Mars/Olympus").expect_err("unknown").name, "Mars/Olympus");
}

#[test]
fn sunday_is_0_7_and_sun() {
    // 2026-01-18 is a Sunday.
    for sunday in ["0", "7", "sun", "SUN", "7-7"] {
        fires(
            &format!("0 12 * * {sunday}"),
            "UTC",
            "2026-01-15T00:00:00Z",
            &["2026-01-18T12:00:00Z", "2026-01-25T12:00:00Z"],
        );
    }
    same("0 12 * * 5-7", "0 12 * * fri,sat,sun");
    same("0 12 * * 0-7", "0 12 * * *");
    same("0 12 * * 5/1", "0 12 * * 5,6");
    same("0 12 * * Mon-fRi", "0 12 * * 1,2,3,4,5");
}

#[test]
fn steps_names_ranges_and_lists_have_the_meaning_of_cron() {
    same("*/5 * * * *", "0,5,10,15,20,25,30,35,40,45,50,55 * * * *");
    same("1-10/3 * * * *", "1,4,7,10 * * * *");
    same("5/10 * * * *", "5,15,25,35,45,55 * * * *");
    same("*/100 * * * *", "0 * * * *");
    same("0 0 1 jan,MAR-may/2,12 *", "0 0 1 1,3,5,12 *");
    same("? ? ? ? ?", "* * * * *");
    same(" 05\t08  *  *  * ", "5 8 * * *");
}

#[test]
fn either_day_field_may_match_when_both_are_restricted() {
    // Thursday the 1st, Fridays, Thursday the 15th.
    fires(
        "0 0 1,15 1 fri",
        "UTC",
        "2025-12-31T12:00:00Z",
        &[
            "2026-01-01T00:00:00Z",
            "2026-01-02T00:00:00Z",
            "2026-01-09T00:00:00Z",
            "2026-01-15T00:00:00Z",
            "2026-01-16T00:00:00Z",
        ],
    );
    // Friday the 2nd matches both and fires once.
    fires("0 0 2 1 5", "UTC", "2025-12-31T12:00:00Z", &["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"]);
    // The day that never comes leaves the other field in force.
    fires("0 0 30 2 mon", "UTC", "2026-01-31T12:00:00Z", &["2026-02-02T00:00:00Z", "2026-02-09T00:00:00Z"]);
}

#[test]
fn a_starred_day_field_leaves_the_choice_to_the_other() {
    fires("0 0 * * mon", "UTC", "2026-01-01T12:00:00Z", &["2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z"]);
    fires("0 0 13 * ?", "UTC", "2026-01-01T12:00:00Z", &["2026-01-13T00:00:00Z", "2026-02-13T00:00:00Z"]);
    same("0 0 */1 * mon", "0 0 * * mon");
    same("0 0 13,* * mon", "0 0 * * mon");
    // A wider step is a restriction, so either may match: odd days and Mondays.
    same("0 0 */2 * mon", "0 0 1-31/2 * mon");
    fires("0 0 */10 * mon", "UTC", "2026-01-01T12:00:00Z", &["2026-01-05T00:00:00Z", "2026-01-11T00:00:00Z"]);
}

#[test]
fn a_skipped_time_fires_when_the_gap_ends_and_once() {
    // Berlin skips 02:00 to 03:00 on 2026-03-29.
    fires(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    );
    fires(
        "*/20 2,3 29 3 *",
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z", "2026-03-29T01:40:00Z"],
    );
    // Apia had no 30 December 2011.
    fires(
        "0 9 * * *",
        "Pacific/Apia",
        "2011-12-29T20:00:00Z",
        &["2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"],
    );
    // Monrovia's gap of 1972 ended half a minute past.
    fires("15 0 7 1 *", "Africa/Monrovia", "1972-01-06T12:00:00Z", &["1972-01-07T00:44:30Z"]);
}

#[test]
fn a_doubled_time_fires_the_first_time_only() {
    // Berlin repeats 02:00 to 03:00 on 2026-10-25.
    fires(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    );
    fires(
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:40:00Z",
        &["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"],
    );
    // Asked in the second pass, the first is over.
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z"), at("2026-10-26T01:30:00Z"));
    // Lord Howe repeats half an hour: 01:30 to 02:00.
    fires(
        "45 1 5 4 *",
        "Australia/Lord_Howe",
        "2026-04-04T12:00:00Z",
        &["2026-04-04T14:45:00Z", "2027-04-04T15:15:00Z"],
    );
}

#[test]
fn an_expression_that_never_fires_has_no_next_instant() {
    let never = CronExpression::parse("0 0 30 2 *").expect("a good expression");
    assert_eq!(never.next_after(at("2026-01-01T00:00:00Z"), &Zone::UTC), None);
    assert_eq!(next("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z"), at("2028-02-29T00:00:00Z"));
}

#[test]
fn any_instant_can_be_asked_about() {
    let every_minute = CronExpression::parse("* * * * *").expect("a good expression");
    for name in ["UTC", "Pacific/Apia", "America/New_York", "Pacific/Kiritimati"] {
        let zone = Zone::parse(name).expect("a zone");
        assert_eq!(every_minute.next_after(DateTime::<Utc>::MAX_UTC, &zone), None);
        let first = every_minute.next_after(DateTime::<Utc>::MIN_UTC, &zone).expect("fires");
        assert_eq!(zone.wall_clock(first).to_string(), "1970-01-01 00:00:00", "{name}");
    }
    assert_eq!(every_minute.next_after(at("2100-12-31T23:59:00Z"), &Zone::UTC), None);
}

#[test]
fn a_bad_field_is_named() {
    refused("60 * * * *", CronField::Minute, "minute: 60 is not between 0 and 59");
    refused("* 24 * * *", CronField::Hour, "hour: 24 is not between 0 and 23");
    refused("* * 0 * *", CronField::DayOfMonth, "day of the month: 0 is not between 1 and 31");
    refused("* * * 13 *", CronField::Month, "month: 13 is not between 1 and 12");
    refused("* * * * 8", CronField::DayOfWeek, "day of the week: 8 is not between 0 and 7");
    refused("* * * * funday", CronField::DayOfWeek, "`funday` is not a day of the week");
    refused("mon * * * *", CronField::Minute, "`mon` is not a minute");
    refused("* * * january *", CronField::Month, "`january` is not a month");
    refused("*/0 * * * *", CronField::Minute, "step `0`");
    refused("*/ * * * *", CronField::Minute, "step ``");
    refused("*/2/3 * * * *", CronField::Minute, "step `2/3`");
    refused("10-5 * * * *", CronField::Minute, "ends before it begins");
    refused("* * * * fri-sun", CronField::DayOfWeek, "Sunday is 7");
    refused("* * * * 7/2", CronField::DayOfWeek, "ends before it begins");
    refused("1,,2 * * * *", CronField::Minute, "empty part");
    refused("1-2-3 * * * *", CronField::Minute, "`2-3` is not a minute");
    refused("*-5 * * * *", CronField::Minute, "`*` is not a minute");
    refused("-5 * * * *", CronField::Minute, "`` is not a minute");
    refused("+5 * * * *", CronField::Minute, "`+5` is not a minute");
    refused("99999999999 * * * *", CronField::Minute, "is not a minute");
    refused("* * L * *", CronField::DayOfMonth, "`L` is not a day of the month");
    refused("* * * * 5#2", CronField::DayOfWeek, "`5#2` is not a day of the week");
}

#[test]
fn seconds_years_descriptors_and_zones_are_no_part_of_an_expression() {
    refused("", CronField::Expression, "is empty");
    refused("  ", CronField::Expression, "is empty");
    refused("@daily", CronField::Expression, "descriptors such as `@daily`");
    refused("@every 1h30m", CronField::Expression, "descriptors such as `@every`");
    refused("0 0 9 * * *", CronField::Expression, "has 6 fields: seconds and years");
    refused("0 0 9 * * * 2026", CronField::Expression, "has 7 fields: seconds and years");
    refused("0 9 * *", CronField::Expression, "has 4 fields instead of five");
    refused("CRON_TZ=UTC 0 9 * * *", CronField::Expression, "`CRON_TZ=UTC`");
}
