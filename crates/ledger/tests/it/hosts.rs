//! Hosts, pairings and devices.

use portcullis_ledger::{
    Device, DeviceAbout, Host, HostChange, HostToken, Hosts, Ledger, LedgerError, Pairing,
    PairingCode, Retention, SecretHash, TooMany,
};
use tokio::task::JoinSet;

use crate::support::{NOW, Place, at, first, in_both_databases};

in_both_databases! {
    a_host_is_found_by_each_of_its_names,
    a_name_is_unique_within_an_account_and_hosts_are_as_many_as_may_be,
    gates_that_add_at_once_add_no_more_than_may_be,
    another_token_takes_the_place_of_the_one_before,
    a_host_that_was_revoked_has_no_token_and_gets_none,
    a_host_that_was_removed_leaves_nothing,
    a_host_is_renamed_unless_the_name_is_taken,
    hosts_are_listed_by_account,
    a_code_pairs_one_account_once,
    a_pairing_counts_until_it_expires_and_as_many_as_may_be,
    who_is_paired_again_is_the_device_that_it_was,
    devices_are_listed_either_way_and_taken_back,
    what_cannot_be_kept_is_refused,
}

fn host(id: &str) -> Host {
    Host {
        id: id.into(),
        environment: format!("env-{id}").into(),
        account: "ada".into(),
        name: format!("name-{id}").into(),
        installation: Some("inst".into()),
        os: "linux".into(),
        arch: "x86_64".into(),
        version: "1".into(),
        token: None,
        token_expires_at: None,
        enrolled_at: NOW,
        seen_at: None,
        revoked_at: None,
    }
}

fn hash(text: &str) -> SecretHash {
    SecretHash::of(text.as_bytes())
}

fn token(text: &str) -> HostToken {
    HostToken {
        hash: hash(text),
        expires_at: at(60),
        platform: None,
    }
}

fn pairing(code: &str, host: &str) -> Pairing {
    Pairing {
        code: hash(code),
        manual_code: Some(hash(&format!("manual-{code}"))),
        host: host.into(),
        created_at: NOW,
        expires_at: at(60),
    }
}

fn device(id: &str, account: &str) -> Device {
    Device {
        id: id.into(),
        host: "".into(),
        account: account.into(),
        about: DeviceAbout {
            display_name: Some("phone".into()),
            ..DeviceAbout::default()
        },
        paired_at: NOW,
        seen_at: None,
    }
}

async fn a_host_is_found_by_each_of_its_names(place: Place) {
    let ledger = place.ledger;
    let one = Host {
        token: Some(hash("t")),
        token_expires_at: Some(at(60)),
        ..host("one")
    };
    assert_eq!(ledger.add_host(one.clone(), 9).await, Ok(HostChange::Done));
    let other = Host {
        account: "bob".into(),
        ..host("other")
    };
    ledger.add_host(other, 9).await.unwrap();
    let found = Ok(Some(one));
    assert_eq!(ledger.find_host("one").await, found);
    assert_eq!(ledger.find_host_of_environment("env-one").await, found);
    assert_eq!(ledger.find_host_named("ada", "name-one").await, found);
    assert_eq!(ledger.find_host_by_token(hash("t")).await, found);
    assert_eq!(ledger.find_host("env-one").await, Ok(None));
    assert_eq!(ledger.find_host_named("bob", "name-one").await, Ok(None));
    assert_eq!(ledger.find_host_by_token(hash("x")).await, Ok(None));
}

async fn a_name_is_unique_within_an_account_and_hosts_are_as_many_as_may_be(place: Place) {
    let ledger = place.ledger;
    let named = |id, account: &str| Host {
        name: "vm".into(),
        account: account.into(),
        ..host(id)
    };
    let add = |host| ledger.add_host(host, 2);
    assert_eq!(add(named("a", "ada")).await, Ok(HostChange::Done));
    assert_eq!(add(named("b", "ada")).await, Ok(HostChange::NameTaken));
    assert_eq!(add(named("c", "bob")).await, Ok(HostChange::Done));
    assert_eq!(add(host("d")).await, Ok(HostChange::Done));
    assert_eq!(add(host("e")).await, Ok(HostChange::TooMany));
    ledger.revoke_host("d", at(1)).await.unwrap();
    assert_eq!(add(host("e")).await, Ok(HostChange::TooMany));
    ledger.remove_host("d").await.unwrap();
    assert_eq!(add(host("e")).await, Ok(HostChange::Done));
}

async fn gates_that_add_at_once_add_no_more_than_may_be(place: Place) {
    let gates = [place.ledger.clone(), place.another().await];
    let mut adding = JoinSet::new();
    for at in 0..10 {
        adding.spawn(gates[at % 2].add_host(host(&at.to_string()), 3));
    }
    let answers = adding.join_all().await;
    let done = answers.iter().filter(|it| **it == Ok(HostChange::Done));
    assert_eq!(done.count(), 3);
    assert_eq!(gates[0].hosts_of("ada").await.unwrap().len(), 3);
}

async fn another_token_takes_the_place_of_the_one_before(place: Place) {
    let ledger = place.ledger;
    ledger.add_host(host("h"), 9).await.unwrap();
    assert_eq!(ledger.issue_host_token("h", token("one")).await, Ok(true));
    let two = HostToken {
        platform: Some(("mac".into(), "arm".into(), "2".into())),
        ..token("two")
    };
    assert_eq!(ledger.issue_host_token("h", two).await, Ok(true));
    assert_eq!(ledger.find_host_by_token(hash("one")).await, Ok(None));
    let found = ledger
        .find_host_by_token(hash("two"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (&*found.os, &*found.arch, &*found.version),
        ("mac", "arm", "2")
    );
    assert_eq!(found.token_expires_at, Some(at(60)));
    assert_eq!(ledger.issue_host_token("x", token("x")).await, Ok(false));
    ledger.note_host("h", at(5)).await.unwrap();
    ledger.note_host("h", at(3)).await.unwrap();
    let found = ledger.find_host("h").await.unwrap().unwrap();
    assert_eq!(found.seen_at, Some(at(5)));
}

async fn a_host_that_was_revoked_has_no_token_and_gets_none(place: Place) {
    let ledger = place.ledger;
    ledger.add_host(host("h"), 9).await.unwrap();
    ledger.issue_host_token("h", token("t")).await.unwrap();
    ledger
        .start_pairing(pairing("p", "h"), 9, NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ledger.revoke_host("h", at(1)).await, Ok(true));
    assert_eq!(ledger.revoke_host("h", at(2)).await, Ok(true));
    assert_eq!(ledger.revoke_host("x", at(2)).await, Ok(false));
    let found = ledger.find_host("h").await.unwrap().unwrap();
    assert_eq!((found.token, found.revoked_at), (None, Some(at(1))));
    assert_eq!(ledger.issue_host_token("h", token("u")).await, Ok(false));
    let code = PairingCode::Long(hash("p"));
    assert_eq!(
        ledger.claim_pairing(code, device("d", "bob"), NOW).await,
        Ok(None)
    );
}

async fn a_host_that_was_removed_leaves_nothing(place: Place) {
    let ledger = place.ledger;
    ledger.add_host(host("h"), 9).await.unwrap();
    for code in ["p", "q"] {
        ledger
            .start_pairing(pairing(code, "h"), 9, NOW)
            .await
            .unwrap()
            .unwrap();
    }
    let code = PairingCode::Long(hash("p"));
    ledger
        .claim_pairing(code, device("d", "bob"), NOW)
        .await
        .unwrap();
    assert_eq!(ledger.remove_host("h").await, Ok(true));
    assert_eq!(ledger.remove_host("h").await, Ok(false));
    assert_eq!(ledger.find_device("h", "bob").await, Ok(None));
    assert_eq!(ledger.is_claimed("h", code, NOW).await, Ok(None));
}

async fn a_host_is_renamed_unless_the_name_is_taken(place: Place) {
    let ledger = place.ledger;
    for id in ["a", "b"] {
        ledger.add_host(host(id), 9).await.unwrap();
    }
    let rename = |id, name| ledger.rename_host(id, name);
    assert_eq!(rename("a", "name-b").await, Ok(HostChange::NameTaken));
    assert_eq!(rename("a", "new").await, Ok(HostChange::Done));
    assert_eq!(rename("a", "new").await, Ok(HostChange::Done));
    assert_eq!(rename("x", "x").await, Ok(HostChange::Unknown));
    assert!(
        ledger
            .find_host_named("ada", "new")
            .await
            .unwrap()
            .is_some()
    );
}

async fn hosts_are_listed_by_account(place: Place) {
    let ledger = place.ledger;
    let bob = Host {
        account: "bob".into(),
        ..host("b")
    };
    for host in [host("c"), host("a"), bob.clone()] {
        ledger.add_host(host, 9).await.unwrap();
    }
    let all = ledger.list_hosts(None, first(2)).await.unwrap();
    assert_eq!(all.items, [host("a"), bob.clone()]);
    let rest = first(2).after(all.next.unwrap());
    assert_eq!(
        ledger.list_hosts(None, rest).await.unwrap().items,
        [host("c")]
    );
    let own = ledger.list_hosts(Some("bob"), first(9)).await.unwrap();
    assert_eq!(own.items, [bob]);
    let own = ledger.hosts_of("ada").await;
    assert_eq!(own, Ok(vec![host("a"), host("c")]));
}

async fn a_code_pairs_one_account_once(place: Place) {
    let gates = [place.ledger.clone(), place.another().await];
    gates[0].add_host(host("h"), 9).await.unwrap();
    for (name, code) in [
        ("p", PairingCode::Long(hash("p"))),
        ("q", PairingCode::Manual(hash("manual-q"))),
    ] {
        let pairing = pairing(name, "h");
        gates[0]
            .start_pairing(pairing, 9, NOW)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(gates[1].is_claimed("h", code, NOW).await, Ok(Some(false)));
        let mut claims = JoinSet::new();
        for at in 0..10 {
            let account = format!("{name}{at}");
            let device = device(&account, &account);
            claims.spawn(gates[at % 2].claim_pairing(code, device, NOW));
        }
        let answers = claims.join_all().await;
        let claimed: Vec<Device> = answers.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(claimed.len(), 1, "{name}");
        assert_eq!(&*claimed[0].host, "h");
        assert_eq!(gates[1].is_claimed("h", code, NOW).await, Ok(Some(true)));
        assert_eq!(gates[1].is_claimed("x", code, NOW).await, Ok(None));
    }
}

async fn a_pairing_counts_until_it_expires_and_as_many_as_may_be(place: Place) {
    let ledger = place.ledger;
    ledger.add_host(host("h"), 9).await.unwrap();
    let start = |code, now| ledger.start_pairing(pairing(code, "h"), 2, now);
    assert_eq!(start("a", NOW).await, Ok(Ok(())));
    assert_eq!(start("b", NOW).await, Ok(Ok(())));
    assert_eq!(start("c", NOW).await, Ok(Err(TooMany)));
    let code = PairingCode::Long(hash("a"));
    let late = ledger.claim_pairing(code, device("d", "bob"), at(60)).await;
    assert_eq!(late, Ok(None));
    let claimed = ledger.claim_pairing(code, device("d", "bob"), at(59)).await;
    assert!(claimed.unwrap().is_some());
    assert_eq!(start("c", NOW).await, Ok(Ok(())), "one was claimed");
    assert_eq!(ledger.is_claimed("h", code, at(60)).await, Ok(None));
    let pruned = ledger.prune(Retention::default(), at(60)).await.unwrap();
    assert_eq!(pruned.pairings, 3);
}

async fn who_is_paired_again_is_the_device_that_it_was(place: Place) {
    let ledger = place.ledger;
    ledger.add_host(host("h"), 9).await.unwrap();
    for code in ["a", "b"] {
        let pairing = pairing(code, "h");
        ledger
            .start_pairing(pairing, 9, NOW)
            .await
            .unwrap()
            .unwrap();
    }
    let claim = |code: &str, device| {
        let code = PairingCode::Long(hash(code));
        ledger.claim_pairing(code, device, NOW)
    };
    claim("a", device("one", "bob")).await.unwrap();
    ledger.note_device("one", at(7)).await.unwrap();
    let mut again = device("two", "bob");
    again.about.display_name = Some("tablet".into());
    let again = claim("b", again).await.unwrap().unwrap();
    assert_eq!((&*again.id, again.seen_at), ("one", Some(at(7))));
    assert_eq!(again.about.display_name.as_deref(), Some("tablet"));
    assert_eq!(ledger.find_device("h", "bob").await, Ok(Some(again)));
    assert_eq!(ledger.find_device("h", "eve").await, Ok(None));
}

async fn devices_are_listed_either_way_and_taken_back(place: Place) {
    let ledger = place.ledger;
    ledger.add_host(host("h"), 9).await.unwrap();
    for id in ["a", "b", "c"] {
        let pairing = pairing(id, "h");
        ledger
            .start_pairing(pairing, 9, NOW)
            .await
            .unwrap()
            .unwrap();
        let code = PairingCode::Long(hash(id));
        ledger
            .claim_pairing(code, device(id, id), NOW)
            .await
            .unwrap();
    }
    for (is_descending, ids) in [(false, ["a", "b", "c"]), (true, ["c", "b", "a"])] {
        let one = ledger
            .list_devices("h", first(2), is_descending)
            .await
            .unwrap();
        let page = first(2).after(one.next.unwrap());
        let two = ledger.list_devices("h", page, is_descending).await.unwrap();
        let all = one.items.iter().chain(&two.items);
        let found: Vec<&str> = all.map(|device| &*device.id).collect();
        assert_eq!(found, ids);
        assert_eq!(two.next, None);
    }
    assert_eq!(ledger.remove_device("x", "a").await, Ok(false));
    assert_eq!(ledger.remove_device("h", "a").await, Ok(true));
    assert_eq!(ledger.remove_device("h", "a").await, Ok(false));
    assert_eq!(ledger.find_device("h", "a").await, Ok(None));
}

async fn what_cannot_be_kept_is_refused(place: Place) {
    let ledger = place.ledger;
    let nameless = Host {
        name: "".into(),
        ..host("h")
    };
    let refused = Err(LedgerError::Invalid {
        field: "a host's name",
        problem: "is empty",
    });
    assert_eq!(ledger.add_host(nameless, 9).await, refused);
    assert!(ledger.find_host("a\0").await.is_err());
    assert_eq!(ledger.rename_host("h", "").await, refused);
}
