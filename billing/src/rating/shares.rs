//! What each instance or volume contributed to what was gathered. Most prices are of all of it, so it is only found when it is
//! asked for: by prices for each instance, and by documents.

use metering::{InstanceId, Resource, UsageRecord, VolumeId};

/// Under what usage is listed: the instance (with its disks and NICs) or the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    Instance(InstanceId),
    Volume(VolumeId),
}

/// What one holder contributed to a sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) holder: Holder,
    pub(super) base_quantity: u128,
}

/// The shares of all sums, those of one together and in the order of their holders.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    all: Vec<Share>,
    /// Where those of each sum end.
    ends: Vec<usize>,
}

impl Holder {
    pub(super) const fn instance_id(self) -> Option<InstanceId> {
        match self {
            Self::Instance(id) => Some(id),
            Self::Volume(_) => None,
        }
    }

    pub(super) const fn volume_id(self) -> Option<VolumeId> {
        match self {
            Self::Volume(id) => Some(id),
            Self::Instance(_) => None,
        }
    }

    pub(super) const fn of(resource: &Resource) -> Self {
        match resource {
            Resource::Instance(id) | Resource::Disk(id, _) | Resource::Nic(id, _) => Self::Instance(*id),
            Resource::Volume(id) => Self::Volume(*id),
        }
    }
}

impl Shares {
    /// Of so many sums; `sum_of` has the number of each record's.
    pub(super) fn of(usage: &[UsageRecord], sum_of: &[u32], sums: usize) -> Self {
        let mut rows = Vec::<(usize, Share)>::with_capacity(usage.len());
        for (record, sum) in usage.iter().zip(sum_of) {
            let sum = *sum as usize;
            let (holder, base_quantity) = (Holder::of(&record.resource), u128::from(record.quantity));
            // Records come by resource and time, mostly: what belongs together is added up at once.
            match rows.last_mut() {
                Some((last, share)) if *last == sum && share.holder == holder => {
                    share.base_quantity += base_quantity;
                }
                _ => rows.push((sum, Share { holder, base_quantity })),
            }
        }
        let (numbers, ends) = by_sum(&rows, sums);
        let mut shares = Self { all: Vec::with_capacity(rows.len()), ends: Vec::with_capacity(sums) };
        let mut numbers = numbers;
        let mut begin = 0;
        for end in ends {
            let numbers = &mut numbers[begin..end];
            begin = end;
            if !numbers.is_sorted_by_key(|n| rows[*n].1.holder) {
                numbers.sort_unstable_by_key(|n| rows[*n].1.holder);
            }
            let from = shares.all.len();
            for (_, row) in numbers.iter().map(|n| &rows[*n]) {
                match shares.all[from..].last_mut() {
                    Some(share) if share.holder == row.holder => share.base_quantity += row.base_quantity,
                    _ => shares.all.push(*row),
                }
            }
            shares.ends.push(shares.all.len());
        }
        shares
    }

    /// Those of a sum.
    pub(super) fn of_sum(&self, number: usize) -> &[Share] {
        let begin = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[begin..self.ends[number]]
    }
}

/// The numbers of the rows, those of one sum together and as they came; and where those of each sum end.
fn by_sum(rows: &[(usize, Share)], sums: usize) -> (Vec<usize>, Vec<usize>) {
    let mut ends = vec![0; sums];
    rows.iter().for_each(|(sum, _)| ends[*sum] += 1);
    let mut all = 0;
    for end in &mut ends {
        // For now, where they begin.
        all += std::mem::replace(end, all);
    }
    let mut numbers = vec![0; rows.len()];
    for (number, (sum, _)) in rows.iter().enumerate() {
        numbers[ends[*sum]] = number;
        ends[*sum] += 1;
    }
    (numbers, ends)
}
