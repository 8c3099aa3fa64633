//! When a token is good, to the second.

use std::time::Duration;

use portcullis_boundary::Rejection;
use portcullis_boundary::clock::Timestamp;
use portcullis_verifiers::hmac_jwt::Algorithm;
use portcullis_verifiers::{ConfigError, HmacJwt};

use crate::support::{HS256, NOW, SECRET, ask, ask_at, jwt, mint, secret};

#[test]
fn a_token_is_good_until_its_expiry_plus_the_skew() {
    for (skew, exp, admitted) in [
        (0, NOW + 1, true),
        (0, NOW, true),
        (0, NOW - 1, false),
        (30, NOW - 29, true),
        (30, NOW - 30, true),
        (30, NOW - 31, false),
        (0, 0, false),
        (30, 0, false),
        (30, -1, false),
        (30, i64::MIN, false),
        (30, i64::MAX, true),
    ] {
        let verdict = ask(&skewed(skew), &mint(HS256, format!(r#"{{"exp":{exp}}}"#)));
        let expected = if admitted {
            Ok(())
        } else {
            Err(Rejection::Expired)
        };
        assert_eq!(verdict.map(drop), expected, "skew {skew}, exp {exp}");
    }
}

#[test]
fn a_token_is_good_from_its_start_less_the_skew() {
    for (skew, nbf, admitted) in [
        (0, NOW - 1, true),
        (0, NOW, true),
        (0, NOW + 1, false),
        (30, NOW + 29, true),
        (30, NOW + 30, true),
        (30, NOW + 31, false),
        (30, i64::MAX, false),
        (30, i64::MIN, true),
    ] {
        let token = mint(HS256, format!(r#"{{"exp":{},"nbf":{nbf}}}"#, i64::MAX));
        let expected = if admitted {
            Ok(())
        } else {
            Err(Rejection::NotYetValid)
        };
        assert_eq!(
            ask(&skewed(skew), &token).map(drop),
            expected,
            "skew {skew}, nbf {nbf}"
        );
    }
}

#[test]
fn time_is_counted_in_whole_seconds() {
    let token = mint(HS256, format!(r#"{{"exp":{NOW},"nbf":{NOW}}}"#));
    let at = |millis| ask_at(&jwt(), &token, Timestamp::from_millis(millis)).map(drop);
    assert_eq!(at(NOW * 1000 - 1), Err(Rejection::NotYetValid));
    assert_eq!(at(NOW * 1000), Ok(()));
    assert_eq!(at(NOW * 1000 + 999), Ok(()));
    assert_eq!(at(NOW * 1000 + 1000), Err(Rejection::Expired));
}

#[test]
fn a_session_ends_when_the_skew_is_over() {
    let token = mint(HS256, format!(r#"{{"exp":{NOW}}}"#));
    let identity = ask(&skewed(30), &token).unwrap();
    assert_eq!(identity.expiry(), Some(Timestamp::from_secs(NOW)));
    assert_eq!(identity.end(), Some(Timestamp::from_secs(NOW + 30)));
}

#[test]
fn the_skew_is_30_seconds_unless_it_is_set() {
    let verifier = HmacJwt::new("jwt", Algorithm::Hs256, [secret(SECRET)]).unwrap();
    let expired_since = |seconds| mint(HS256, format!(r#"{{"exp":{}}}"#, NOW - seconds));
    assert!(ask(&verifier, &expired_since(30)).is_ok());
    assert_eq!(ask(&verifier, &expired_since(31)), Err(Rejection::Expired));
}

#[test]
fn the_longest_skew_is_that_of_a_signed_integer() {
    let longest = Duration::from_secs(i64::MAX.unsigned_abs());
    let verifier = jwt().max_clock_skew(longest).unwrap();
    assert!(ask(&verifier, &mint(HS256, r#"{"exp":0,"nbf":9000000000}"#)).is_ok());
    let error = jwt()
        .max_clock_skew(longest + Duration::from_secs(1))
        .unwrap_err();
    assert_eq!(error, ConfigError::ClockSkewTooLong);
    let text = "websocket auth clock skew must fit in a signed 64-bit integer";
    assert_eq!(error.to_string(), text);
}

fn skewed(seconds: u64) -> HmacJwt {
    jwt().max_clock_skew(Duration::from_secs(seconds)).unwrap()
}
