//! Limits while the policy service is away: what was leased goes on, nothing that was used is lost, and what policy
//! allows beyond it is a debt.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::quotas::load::Met;
use weir_tests::quotas::stage::{
    DIME, INPUT, OUTPUT, Stage, answer, ask, money, requests, set_prices,
};
use weir_tests::quotas::{Reception, hour};
use weir_tests::tokens::Tokens;
use weir_tests::wait;

fn mesh(envoys: usize) -> Mesh {
    let mesh = Mesh::start(&Options {
        envoys,
        ..Options::default()
    });
    set_prices(&mesh);
    mesh
}

/// Settlements are told until they are acknowledged, so nothing is lost and nothing is charged twice.
#[test]
fn a_service_that_is_killed_under_load_loses_no_charge() {
    let mesh = mesh(2);
    let rules =
        json!({"unit": "micro_usd", "limit": 400 * DIME, "window": hour(), "holds": "strict"});
    let stage = Stage::new(&mesh, &rules);
    let counted = stage.meter.clone();
    stage.provider.script(move |_, _| {
        let used = Tokens::new(INPUT, OUTPUT);
        counted.whole(used, Duration::from_millis(100), answer(used))
    });
    let met = std::thread::scope(|scope| {
        let load = scope.spawn(|| stage.press(16, usize::MAX, OUTPUT));
        for at in [60, 200] {
            wait::until("the load to go on", || {
                (stage.provider.count() >= at).then_some(())
            });
            mesh.end_service(Signal::SIGKILL);
            mesh.start_service();
        }
        load.join().unwrap()
    });
    assert_eq!(met.others, Vec::<String>::new(), "{}", mesh.logs());
    let mut figures = stage.figures(("service killed twice", "micro_usd"), &met, money);
    figures.false_refusals = figures.false_while_room(DIME);
    figures.check();
    assert_eq!(
        figures.spent, figures.charged,
        "provider and ledger: {figures}"
    );
    assert_eq!(figures.exhausted, 16, "{figures}");
}

/// What `stage` admits one after another until it refuses.
fn until_refused(stage: &Stage<'_>, most: usize) -> (usize, Reception) {
    for admitted in 0..most {
        let answered = stage.mesh.send(&stage.tenant.sign(ask(OUTPUT)));
        let reception = Reception::of(&answered);
        if reception != Reception::Admitted {
            return (admitted, reception);
        }
    }
    (most, Reception::Admitted)
}

/// While the service is away: as long as slices last, then a refusal that can be repeated, or a debt up to the cap.
#[test]
fn a_service_that_is_away_is_survived_on_slices_and_credit() {
    const LIMIT: usize = 400;
    const CAP: u64 = 5;
    let mesh = mesh(1);
    let rules = |on_outage: Value| json!({"unit": "requests", "limit": LIMIT, "window": hour(), "on_outage": on_outage});
    let denied = Stage::new(&mesh, &rules(json!("deny")));
    let allowed = Stage::new(&mesh, &rules(json!({"allow": {"outage_cap": CAP}})));
    for stage in [&denied, &allowed] {
        let primed = stage.press_whole(4, 2, OUTPUT);
        assert_eq!(primed.admitted, 8);
    }
    let free = [&denied, &allowed].map(|stage| mesh.usage(&stage.quota).held);
    mesh.end_service(Signal::SIGKILL);
    let met = [&denied, &allowed].map(|stage| until_refused(stage, LIMIT));
    assert_eq!(
        (&met[0].1, &met[1].1),
        (&Reception::Away, &Reception::Away),
        "{met:?}"
    );
    mesh.start_service();
    mesh.wait_ready();
    for (nth, stage) in [&denied, &allowed].into_iter().enumerate() {
        let what = ["outage, denied", "outage, on credit"][nth];
        let more = Met {
            admitted: 8 + met[nth].0,
            outages: 1,
            ..Met::default()
        };
        // What was admitted on credit has no lease to wait for.
        wait::until("all to be charged", || {
            let charged = mesh.usage(&stage.quota).spent;
            (charged >= stage.meter.sum(requests)).then_some(())
        });
        let figures = stage.figures((what, "requests"), &more, requests);
        figures.check();
        assert_eq!(
            figures.spent, figures.charged,
            "provider and ledger: {figures}"
        );
        let debt = mesh.usage(&stage.quota).debt;
        assert_eq!(debt, CAP * nth as u64, "{figures}");
        assert!(
            met[nth].0 as u64 <= free[nth] + debt,
            "{figures}: {free:?} were leased"
        );
    }
    let after = until_refused(&denied, 1);
    assert_eq!(after, (1, Reception::Admitted), "the service is back");
}

/// Nothing is refused while the service is away and slices last.
#[test]
fn a_short_outage_far_from_the_limit_is_not_noticed() {
    let mesh = mesh(2);
    let rules = json!({"unit": "micro_usd", "limit": 1_000_000 * DIME, "window": hour()});
    let stage = Stage::new(&mesh, &rules);
    let warm = stage.press_whole(8, 20, OUTPUT);
    let mut met = std::thread::scope(|scope| {
        let load = scope.spawn(|| stage.press(8, 40, OUTPUT));
        mesh.end_service(Signal::SIGKILL);
        mesh.start_service();
        load.join().unwrap()
    });
    assert_eq!(
        (met.outages, &met.others),
        (0, &Vec::new()),
        "{}",
        mesh.logs()
    );
    met.admitted += warm.admitted;
    let figures = stage.figures(("a short outage", "micro_usd"), &met, money);
    figures.check();
    assert_eq!(
        figures.spent, figures.charged,
        "provider and ledger: {figures}"
    );
}
