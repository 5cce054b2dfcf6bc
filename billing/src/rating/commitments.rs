//! Step 4: what is committed takes what is left of its card before the card's price does. What is committed in the parts of a
//! period is one account: usage of any of them fills it, in the order of time.

use metering::MeterName;

use super::RatingError;
use super::quantity::{self, Scale};
use super::sheet::{Part, Sheet, beyond};
use crate::plan::{CardName, Commitment, Unused};

/// A commitment in one period; all quantities in millionths of the priced unit.
struct Account<'a> {
    name: &'a CardName,
    unused: Unused,
    meter: MeterName,
    committed: i128,
    used: i128,
    /// The last segment that has it.
    last: usize,
}

pub(super) fn take(sheet: &mut Sheet<'_>) -> Result<(), RatingError> {
    let mut accounts = Vec::<Account<'_>>::new();
    for segment in 0..sheet.period.segments.len() {
        for (commitment, meter) in commitments(sheet, segment) {
            let committed = share(sheet, commitment, meter, segment)?;
            match account(&mut accounts, commitment, meter) {
                Some(account) => {
                    account.committed += committed;
                    account.last = segment;
                }
                None => accounts.push(Account {
                    name: &commitment.name,
                    unused: commitment.unused,
                    meter,
                    committed,
                    used: 0,
                    last: segment,
                }),
            }
        }
    }
    if accounts.is_empty() {
        return Ok(());
    }
    for segment in 0..sheet.period.segments.len() {
        for (commitment, meter) in commitments(sheet, segment) {
            let charged = share(sheet, commitment, meter, segment)?;
            if let Some(account) = account(&mut accounts, commitment, meter) {
                fill(sheet, segment, commitment, charged, account)?;
            }
        }
    }
    Ok(())
}

/// Lets the card's usage in a segment fill the account.
fn fill<'a>(
    sheet: &mut Sheet<'a>,
    segment: usize,
    commitment: &'a Commitment,
    charged: i128,
    account: &mut Account<'a>,
) -> Result<(), RatingError> {
    let entries = sheet.entries_of(segment, &commitment.card);
    for (n, number) in entries.iter().enumerate() {
        let (entry, progress) = (&sheet.gathered.entries[*number], &mut sheet.progress[*number]);
        let units = progress.left.min(account.committed - account.used);
        account.used += units;
        progress.take(units).ok_or_else(|| beyond(entry))?;
        match commitment.unused {
            Unused::TrueUp if 0 < units => {
                let committed = account.committed;
                progress.push(Part::Committed { commitment, units, committed });
            }
            Unused::TrueUp => {}
            Unused::Lost if n == 0 || 0 < units => {
                let charged = if n == 0 { charged } else { 0 };
                progress.push(Part::Whole { commitment, units, charged });
            }
            Unused::Lost => {}
        }
    }
    let is_short = account.used < account.committed && segment == account.last;
    if let (Some(last), Unused::TrueUp, true) = (entries.last(), commitment.unused, is_short) {
        let Account { committed, used, .. } = *account;
        sheet.progress[*last].push(Part::Shortfall { commitment, committed, used });
    }
    Ok(())
}

/// The commitments of a segment whose cards the version has, with their meters.
fn commitments<'a>(sheet: &Sheet<'a>, segment: usize) -> Vec<(&'a Commitment, MeterName)> {
    let version = sheet.period.segments[segment].version;
    let meter = |commitment: &Commitment| {
        version.rate_cards().iter().find(|card| card.name == commitment.card).map(|card| card.meter)
    };
    let commitments = version.terms().commitments.iter();
    commitments.filter_map(|commitment| Some((commitment, meter(commitment)?))).collect()
}

fn account<'s, 'a>(
    accounts: &'s mut [Account<'a>],
    commitment: &Commitment,
    meter: MeterName,
) -> Option<&'s mut Account<'a>> {
    accounts.iter_mut().find(|account| {
        (account.name, account.unused, account.meter) == (&commitment.name, commitment.unused, meter)
    })
}

/// What is committed in a segment.
fn share(
    sheet: &Sheet<'_>,
    commitment: &Commitment,
    meter: MeterName,
    segment: usize,
) -> Result<i128, RatingError> {
    let whole = quantity::from_decimal(commitment.quantity);
    sheet.period.prorated(whole, segment).ok_or_else(|| Scale::of(meter).too_large())
}
