//! A code given under threat, a silent call for help (B1, B8): the panel does what was asked for, as always, and the
//! centre knows better.
//!
//! On a site that wants it, each code that is given leaves two rows, and the second is for the centre alone: whether it
//! says "all is well" or "help" nobody else can tell. It is never cleared, cancelled or closed by anybody on site.

use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::incident::Incident;
use crate::device::{AreaId, DeviceKind};
use crate::event::{AlarmKind, EventId, Fact};
use crate::input::CodeChecked;

/// A code was given, whatever came of it: that was written down after the first `so_far` facts.
pub(crate) fn after(draft: &mut Draft, code: &CodeChecked, area: Option<AreaId>, so_far: usize) {
    let known = code.user.clone().filter(|user| draft.state.users.contains_key(user));
    let Some(user) = known else { return };
    let about = About { user: Some(user), method: Some(code.method), ..About::default() };
    // The row that is the centre's alone has been written with what was asked for.
    if draft.told_the_centre_since(so_far, code.duress) {
        return;
    }
    let area = area.or_else(|| draft.area_since(so_far));
    if code.duress {
        raise(draft, AlarmKind::Duress, DeviceKind::Keypad, area, about);
    } else if draft.state.duress {
        draft.emit(Fact::CodeUsed {}, about);
    }
}

/// A silent alarm: the burglary that is open becomes one, else it is one of its own. A button pressed in secret joins only what
/// is secret, so that nothing that is known on site changes.
pub(crate) fn raise(draft: &mut Draft, kind: AlarmKind, by: DeviceKind, area: Option<AreaId>, about: About) {
    let area = area.filter(|area| draft.state.areas.contains_key(area)).or_else(|| {
        let mut areas = draft.state.areas.keys();
        areas.next().cloned().filter(|_| areas.next().is_none())
    });
    let silent = |of: &Incident| match of.kind {
        AlarmKind::Burglary => kind == AlarmKind::Duress || of.is_hidden(),
        kind => matches!(kind, AlarmKind::Duress | AlarmKind::HoldUp),
    };
    let open = draft.state.incidents.iter().filter(|(_, incident)| silent(incident) && incident.area == area);
    // The burglary first.
    let first = |of: &Incident| (of.kind == AlarmKind::Burglary, of.opened.boot, of.opened.mono_ms);
    let joins: Option<EventId> = open.max_by_key(|(_, of)| first(of)).map(|(id, _)| *id);
    let fact = Fact::AlarmRaised { kind, by, continues: None, tags: [].into() };
    draft.keep(fact, About { area, incident: joins, opens: joins.is_none(), ..about });
}
