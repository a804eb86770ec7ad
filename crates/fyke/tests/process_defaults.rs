//! The process-wide defaults for hosts with several addresses. A single test, because they are global.

mod support;

use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{ConnectOptions, DriverKind, FamilySelection, family_selection, timer};
use support::{Log, Net};

const MS: Duration = Duration::from_millis(1);

#[test]
fn he_19_the_defaults_of_the_process_affect_later_connects_only() {
    for net in [Net::ready(), Net::sim()] {
        let log = Log::new();
        let seen = log.clone();
        net.run(|| {
            let connect = |explicit: Option<FamilySelection>| {
                let options = ConnectOptions::new(("some.test", 1));
                let log = log.clone();
                let options = options.lookup(move |request, _| log.add(request.all));
                let options = match explicit {
                    Some(selection) => options.family_selection(selection),
                    None => options,
                };
                options.connect().unwrap().on_error(|_, _| {});
            };
            connect(None);
            family_selection::set_default(FamilySelection::Off);
            connect(None);
            connect(Some(FamilySelection::Sequential));
            family_selection::set_default(FamilySelection::Sequential);
            connect(None);
            family_selection::set_default(FamilySelection::Race);
        });
        assert_eq!(seen.take(), ["true", "false", "true", "true"]);
    }

    let silent = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
    let net = Net::new(DriverKind::Sim(SimOptions { silent: silent.into(), ..Default::default() }));
    let log = Log::new();
    let seen = log.clone();
    net.run(|| {
        for milliseconds in [30, 60] {
            family_selection::set_attempt_timeout(milliseconds * MS).unwrap();
            let options = ConnectOptions::new(("some.test", 1));
            let options = options.family_selection(FamilySelection::Sequential);
            let options = options.lookup(move |_, reply| reply.answer(Ok(silent.to_vec())));
            let client = options.connect().unwrap();
            let reported = log.clone();
            client.on_connection_attempt_timeout(move |client, _| {
                reported.add(milliseconds);
                client.destroy();
            });
        }
        timer::set_timeout(45 * MS, move || log.add("45")).unwrap();
    });
    family_selection::set_attempt_timeout(500 * MS).unwrap();
    assert_eq!(seen.take(), ["30", "45", "60"]);
}
