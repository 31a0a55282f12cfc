//! Bytes led by coverage against the oracles of `integration/tests/sim/oracles.rs`. `VAKT_FUZZ` names one of them.
#![no_main]

#[path = "../../tests/sim"]
#[allow(dead_code)] // a site does more than is asked of it here
mod sim {
    pub mod oracles;
    pub mod site;
}

use sim::oracles;
use std::sync::LazyLock;

static ORACLE: LazyLock<fn(&[u8])> = LazyLock::new(|| match std::env::var("VAKT_FUZZ").as_deref() {
    Ok("ash") => oracles::ash,
    Ok("ezsp") => oracles::ezsp,
    Ok("zcl") => oracles::zcl,
    Ok("enocean") => oracles::enocean,
    Ok("wmbus") => oracles::wmbus,
    Ok("rtl_433") => oracles::rtl_433,
    Ok("warrant") => oracles::warrant,
    other => panic!("VAKT_FUZZ is {other:?}; it must be ash, ezsp, zcl, enocean, wmbus, rtl_433 or warrant"),
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| ORACLE(data));
