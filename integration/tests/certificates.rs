//! Who answers in the broker's place, and until when he may: networks that want somebody to log in first, certificates
//! that have expired or are still to come, and a hub that does not know what time it is.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use vakt_integration::lab::BROKER_NAME;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::broker::BrokerOptions;
use vakt_integration::lab::certs::ALWAYS;
use vakt_integration::lab::flow::Flow;
use vakt_integration::lab::net::Fault;
use vakt_integration::twins::portal::Portal;

/// Ports of the broker's host: its own other one, and those of portals.
const OTHER_BROKER: u16 = 8884;
const CLEAR_PORTAL: u16 = 8885;
const TLS_PORTAL: u16 = 8886;

#[tokio::test(flavor = "multi_thread")]
async fn r28_a_network_that_wants_a_log_in_is_told_by_its_name_and_hears_nothing_of_the_hub() {
    let mut flow = Flow::over_two_paths(LabSettings::default()).await;
    let net = flow.lab.net().unwrap();
    let clear = Portal::in_clear(net.listen_at_the_broker(CLEAR_PORTAL).unwrap()).unwrap();
    let behind_tls = Portal::behind_tls(net.listen_at_the_broker(TLS_PORTAL).unwrap(), BROKER_NAME).unwrap();
    for (portal, port, why) in [(&clear, CLEAR_PORTAL, "portal"), (&behind_tls, TLS_PORTAL, "tls_untrusted")] {
        flow.break_path("eth", Fault::Elsewhere(port));
        flow.events().await;
        flow.all_is_well(&format!("{why} on eth")).await;
        flow.down_because("eth", why).await;
        // And on both: everything waits, and an alarm tries again and again.
        flow.break_path("lte", Fault::Elsewhere(port));
        flow.events().await;
        flow.down_because("lte", why).await;
        flow.mend("lte");
        flow.fire().await;
        flow.all_is_well(&format!("{why} on both")).await;
        flow.mend("eth");
        flow.fire().await;
        flow.up("eth").await;
        flow.all_is_well(&format!("{why}, logged in")).await;
        let visitors = portal.visitors();
        assert!(visitors.len() >= 2, "{why}: {} visitors", visitors.len());
        for said in visitors {
            // TLS's own greeting at the most (RFC 8446, 4.1.2: a handshake record), and nothing below TLS.
            assert!(said.is_empty() || port == CLEAR_PORTAL && said.starts_with(&[0x16, 0x03]), "{said:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r28_a_broker_whose_certificate_is_not_of_today_is_left_for_the_other_path_until_it_is_renewed() {
    let broker = BrokerOptions { other_port: Some(OTHER_BROKER), ..BrokerOptions::default() };
    let mut flow = Flow::over_two_paths(LabSettings { broker, ..LabSettings::default() }).await;
    flow.break_path("eth", Fault::Elsewhere(OTHER_BROKER));
    flow.fire().await;
    flow.up("eth").await;
    for (years, why) in [((2001, 2002), "tls_expired"), ((3000, 3001), "tls_not_yet_valid")] {
        let other = flow.lab.certs.other_broker();
        flow.lab.certs.renew(&other, years).unwrap();
        // A connection that stands is shown no certificate; a broker that starts anew shows it to all.
        flow.lab.broker.restart().await.unwrap();
        flow.events().await;
        flow.all_is_well(&format!("{why} on eth")).await;
        flow.down_because("eth", why).await;
        flow.lab.certs.renew(&other, ALWAYS).unwrap();
        flow.lab.broker.reload().unwrap();
        flow.up("eth").await;
        flow.events().await;
        flow.all_is_well(&format!("{why}, renewed")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r29_a_hub_whose_clock_fell_back_alarms_on_the_time_it_remembers_and_takes_nothing_expired() {
    let mut flow = Flow::begin(LabSettings::default()).await;
    flow.events().await;
    flow.all_is_well("a clock that is right").await;
    let broker = flow.lab.certs.broker();
    let never = |config: &mut vakt_integration::lab::daemon::Config| {
        config.clock = Some(vakt_integration::lab::daemon::Clock { trust: "never".into() });
    };
    flow.lab.daemon.kill().await;
    flow.lab.daemon.configure(never).unwrap();
    flow.lab.daemon.clock_says(Some("2001-06-01 00:00:00")).unwrap();
    // By its clock this broker's certificate is still to come, by what it remembers it is good.
    flow.lab.certs.renew(&broker, (2020, 3001)).unwrap();
    flow.lab.broker.restart().await.unwrap();
    flow.lab.daemon.start().await.unwrap();
    flow.events().await;
    flow.all_is_well("a start in 2001").await;
    let status = flow.lab.status().await.unwrap();
    assert!(status.to_string().contains("2001-06-01T"), "its clock does say 2001: {status}");
    // By its clock this one is good, by what it remembers it has expired.
    flow.lab.certs.renew(&broker, (2001, 2002)).unwrap();
    flow.lab.broker.restart().await.unwrap();
    flow.events().await;
    flow.down_because("eth", "tls_expired").await;
    flow.lab.certs.renew(&broker, ALWAYS).unwrap();
    flow.lab.broker.restart().await.unwrap();
    flow.all_is_well("renewed").await;
}
