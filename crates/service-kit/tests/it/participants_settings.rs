//! Participants outside the system: what is taken, and what stops the start without repeating a url.

use service_kit::settings::{ParticipantSales, ParticipantStyle, Settings};
use std::collections::HashMap;
use uuid::Uuid;

const SALE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn read(yaml: &str) -> Result<Settings, String> {
    Settings::parse(yaml, HashMap::new()).map_err(|cause| cause.to_string())
}

/// One named `coupon`, with more of its own.
fn of_coupon(more: &str) -> String {
    format!(
        "participants: [{{ name: coupon, style: tcc, url: \"https://hush:hush@coupons.example/v1\"{more} }}]"
    )
}

#[test]
fn there_are_none_unless_they_are_named() {
    assert!(
        read("environment: development")
            .unwrap()
            .participants
            .is_empty()
    );
}

#[test]
fn participants_are_read_with_their_defaults() {
    let yaml = format!(
        "participants:\n\
         - {{ name: coupon, style: tcc, url: \"https://hush:hush@coupons.example/v1\" }}\n\
         - {{ name: points.eu_2, style: saga, url: \"http://10.0.0.1:9\", sales: [{SALE}], timeout_ms: 300, in_flight: 8, breaker_failures: 2 }}\n\
         - {{ name: retired, style: saga, url: \"http://localhost\", sales: [] }}"
    );
    let settings = read(&yaml).unwrap();
    let [coupon, points, retired] = &settings.participants[..] else {
        panic!("{:?}", settings.participants);
    };
    let sale: Uuid = SALE.parse().unwrap();
    assert_eq!(coupon.style, ParticipantStyle::Tcc);
    assert!(coupon.sales.contains(sale), "all, when none is named");
    assert_eq!(
        (coupon.timeout_ms, coupon.in_flight, coupon.breaker_failures),
        (2_000, 64, 5)
    );
    assert_eq!(points.style, ParticipantStyle::Saga);
    assert_eq!(points.sales, ParticipantSales::Only(vec![sale]));
    assert!(!points.sales.contains(Uuid::nil()));
    assert_eq!(
        (points.timeout_ms, points.in_flight, points.breaker_failures),
        (300, 8, 2)
    );
    assert!(!retired.sales.contains(sale));
    assert!(
        !format!("{settings:?}").contains("hush"),
        "urls hold credentials"
    );
    assert_eq!(
        read(&of_coupon(", sales: all")).unwrap().participants[0].sales,
        ParticipantSales::All
    );
}

#[test]
fn one_that_cannot_be_used_stops_the_start_and_keeps_its_url() {
    let of = |name: &str, url: &str| {
        format!("participants: [{{ name: \"{name}\", style: tcc, url: \"{url}\" }}]")
    };
    let url = "https://hush.example/hush";
    for (yaml, named) in [
        (of("", url), "1 to 64"),
        (of("Coupon", url), "Coupon"),
        (of(&"o".repeat(65), url), "1 to 64"),
        (of("coupon", "ftp://hush.example"), "url"),
        (of("coupon", "hush.example"), "url"),
        (of("coupon", ""), "url"),
        (
            format!(
                "participants: [{0}, {0}]",
                "{ name: a, style: tcc, url: \"https://hush\" }"
            ),
            "twice",
        ),
        (of_coupon(", timeout_ms: 99"), "timeout_ms"),
        (of_coupon(", timeout_ms: 8001"), "timeout_ms"),
        (of_coupon(", in_flight: 0"), "in_flight"),
        (of_coupon(", in_flight: 1001"), "in_flight"),
        (of_coupon(", breaker_failures: 0"), "breaker_failures"),
        (of_coupon(", sales: some"), "all"),
        (of_coupon(", sales: [one]"), "sales[0]"),
        (of_coupon(", sale: all"), "sale"),
        (of_coupon(", style: xa"), "style"),
    ] {
        let line = read(&yaml).unwrap_err();
        assert!(
            line.contains(named) && !line.contains("hush"),
            "{yaml}: {line}"
        );
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

#[test]
fn production_encrypts_unless_it_is_told_otherwise() {
    let production = |more: &str| {
        read(&format!(
            "environment: production\n\
             auth: {{ token_secret: \"0123456789abcdef0123456789abcdef\" }}\n\
             participants: [{{ name: coupon, style: tcc, url: \"http://hush.internal\"{more} }}]"
        ))
    };
    let line = production("").unwrap_err();
    assert!(
        line.contains("https://") && !line.contains("hush"),
        "{line}"
    );
    assert!(production(", allow_private: true").is_ok());
}
