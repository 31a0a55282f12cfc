//! Bugs on purpose: each makes the simulated hub do one thing that must never happen, to see that the check for it
//! would find it. None of them touches the code under test.

/// What is wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Effects are released before the commit.
    ActsBeforeCommit,
    /// An event leaves with other bytes than the journal holds.
    SendsOtherBytes,
    /// Something leaves for the centre that has no row.
    SendsUnrecorded,
    /// A receipt is taken for an event that never reached the centre.
    BelievesItself,
    /// A later event of a class leaves before an earlier one.
    SwapsTwo,
    /// A word of a detector that guards is thrown away after it was acknowledged.
    LosesWords,
    /// The sirens are not told.
    SirensStaySilent,
    /// An entry delay that has run out is not looked at.
    EntryNeverEnds,
    /// A start forgets something that the journal says.
    ForgetsAtStart,
    /// A door is opened by nobody's order.
    UnlocksByItself,
    /// An act is done twice.
    ActsTwice,
    /// A warrant is obeyed after it has expired, and again after that.
    ObeysAgain,
    /// A detector that says nothing is taken for one that speaks.
    NeverMisses,
    /// A duty falls due for ever.
    Spins,
    /// While the disk fails more is kept in memory than there is room for.
    HoardsEvents,
    /// A fire's alarm is kept from the outbox.
    MutesFire,
    /// A camera is left open for longer than was granted.
    StretchesGrants,
    /// A camera shows what the owner was granted to the centre.
    SharesTheOwners,
    /// On its last day nothing is sent, nor when everything is well again.
    StaysStuck,
    /// The kernel's word about cables is thrown away.
    DeafToKernel,
    /// A path that has been dialled once is not dialled again.
    DialsOnce,
    /// A path is called up as soon as it is connected.
    CallsItUp,
    /// Nobody is told that an alarm waits for its receipt.
    HidesDelays,
}
