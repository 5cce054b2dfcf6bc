//! A second, naive implementation of docs/billing.md in whole numbers, over worlds that dice make: plans with every model of
//! price, usage, taxes, exchange. It shares no code with rating; where both read a rule differently, one of them is wrong.
//!
//! Units: micro-units (10^-6 of the priced unit), prices in 10^-4, exchange rates in 10^-6, taxes in 10^-4, coins.

use std::collections::{BTreeMap, BTreeSet};

use crate::oracle_numbers::{nearest_even, nearest_up, percentile, share_out};
pub use crate::oracle_world::*;

struct Segment {
    from: i64,
    to: i64,
    version: usize,
    name: String,
    is_trial: bool,
    taxes: [i128; 2],
}

/// Usage of one card in one segment and band.
struct Item {
    segment: usize,
    card: Card,
    is_night: bool,
    base: i128,
    micro: i128,
    /// What is left of each instance's share.
    left: Vec<i128>,
    used: Vec<bool>,
    covers: Vec<Cover>,
}

/// A part of an item that has a price of its own: what its key ends in, units, price, and how much of it is charged.
struct Cover {
    kind: &'static str,
    micro: i128,
    price: i128,
    charged: i128,
}

/// A line and what later steps ask of it.
struct Charged {
    segment: usize,
    owner: Option<String>,
    tax: i128,
    coins: i128,
    /// Coins that nothing has taken off yet.
    left: i128,
}

struct Bill<'w> {
    world: &'w World,
    segments: Vec<Segment>,
    lines: BTreeMap<String, Line>,
    charged: Vec<Charged>,
}

impl World {
    pub fn answer(&self) -> Answer {
        let segments = self.segments();
        let (mut items, unpriced) = self.items(&segments);
        self.own_allowances(&mut items);
        self.pools(&segments, &mut items);
        let shortfalls = self.commitments(&segments, &mut items);
        let mut bill = Bill { world: self, segments, lines: BTreeMap::new(), charged: Vec::new() };
        bill.cards(&items, &shortfalls);
        bill.fees();
        bill.maximums_of_owners();
        bill.discounts();
        bill.bounds();
        bill.trial();
        bill.sponsor();
        let mut answer = Answer { unpriced, lines: bill.lines, ..Answer::default() };
        for line in &bill.charged {
            answer.taxes.entry(line.tax).or_default().0 += line.coins;
        }
        if answer.taxes.is_empty() {
            answer.taxes.insert(bill.segments[0].taxes[0], (0, 0));
        }
        for (rate, (base, tax)) in &mut answer.taxes {
            *tax = nearest_up(*base * rate, TEN_THOUSAND);
        }
        answer
    }

    fn segments(&self) -> Vec<Segment> {
        let mut cuts: Vec<i64> = vec![0, HOURS];
        cuts.extend(self.versions.iter().map(|version| version.from));
        cuts.extend(self.versions.iter().filter_map(|version| version.trial.map(|trial| trial.0)));
        cuts.extend(self.taxes.iter().map(|(from, _)| *from));
        cuts.retain(|cut| (0..=HOURS).contains(cut));
        cuts.sort_unstable();
        cuts.dedup();
        let mut segments = Vec::<Segment>::new();
        for pair in cuts.windows(2) {
            let version = (0..self.versions.len()).rev().find(|n| self.versions[*n].from <= pair[0]).unwrap();
            let date = match version {
                0 => "2026-01-01".to_owned(),
                _ => format!("2026-10-{:02}", self.versions[version].from / 24 + 1),
            };
            let same = segments.iter().filter(|segment| segment.version == version).count();
            let name = if same == 0 { date } else { format!("{date}.{}", same + 1) };
            segments.push(Segment {
                from: pair[0],
                to: pair[1],
                version,
                name,
                is_trial: self.versions[version].trial.is_some_and(|trial| pair[0] < trial.0),
                taxes: self.taxes.iter().rev().find(|(from, _)| *from <= pair[0]).unwrap().1,
            });
        }
        segments
    }

    /// The usage of each card, segment and band, in order; what has no card, by meter.
    fn items(&self, segments: &[Segment]) -> (Vec<Item>, BTreeMap<usize, i128>) {
        let mut sums = BTreeMap::<(usize, usize, usize, bool), Vec<i128>>::new();
        let mut unpriced = BTreeMap::new();
        for used in self.usage.iter().filter(|used| 0 < used.base) {
            let segment = segments.iter().position(|s| s.from <= used.hour && used.hour < s.to).unwrap();
            let cards = &self.versions[segments[segment].version].cards;
            let fits = |card: &Card| {
                card.meter.0 == used.meter && card.network.is_none_or(|network| network == used.network)
            };
            let Some(card) = cards.iter().position(fits) else {
                *unpriced.entry(used.meter).or_default() += used.base;
                continue;
            };
            let hour = used.hour % 24;
            let is_day = cards[card].night.is_none() || (6..22).contains(&hour);
            let sum = sums.entry((used.meter, segment, card, is_day)).or_insert_with(|| vec![0; INSTANCES]);
            sum[used.instance] += used.base;
        }
        for (number, segment) in segments.iter().enumerate() {
            // A rate is of the whole period: what uses a part of it is charged in each.
            for (n, card) in self.versions[segment.version].cards.iter().enumerate() {
                let is_used = self.usage.iter().any(|used| 0 < used.base && used.meter == card.meter.0);
                if is_used && matches!(card.price, Price::Percentile(..)) {
                    sums.entry((card.meter.0, number, n, true)).or_insert_with(|| vec![0; INSTANCES]);
                }
            }
            let version = &self.versions[segment.version];
            let Some((name, ..)) = &version.commitment else { continue };
            let card = version.cards.iter().position(|card| &card.name == name).unwrap();
            let meter = version.cards[card].meter.0;
            if !sums.keys().any(|(m, s, c, _)| (*m, *s, *c) == (meter, number, card)) {
                sums.insert((meter, number, card, true), vec![0; INSTANCES]);
            }
        }
        let items = sums.into_iter().map(|((_, segment, card, is_day), by_instance)| {
            let card = self.versions[segments[segment].version].cards[card].clone();
            let base: i128 = by_instance.iter().sum();
            let micro = nearest_even(base * MICRO, card.meter.1);
            // Each instance's share: rounded down, and what is left to the largest remainders.
            let mut left: Vec<i128> = by_instance.iter().map(|part| part * MICRO / card.meter.1).collect();
            let mut order: Vec<usize> = (0..INSTANCES).collect();
            order.sort_by_key(|n| (-(by_instance[*n] * MICRO % card.meter.1), *n));
            let rest = micro - left.iter().sum::<i128>();
            order.into_iter().take(rest.max(0) as usize).for_each(|n| left[n] += 1);
            let used = by_instance.iter().map(|part| 0 < *part).collect();
            Item {
                segment,
                is_night: !is_day && card.night.is_some(),
                card,
                base,
                micro,
                left,
                used,
                covers: Vec::new(),
            }
        });
        (items.collect(), unpriced)
    }

    fn own_allowances(&self, items: &mut [Item]) {
        let mut granted = BTreeMap::new();
        for item in items.iter_mut().filter(|item| 0 < item.card.included && 0 < item.base) {
            let (included, is_each) = (item.card.included, item.card.is_each);
            let name = item.card.name.clone();
            if let Some(micro) = item.cover(included, is_each, &name, &mut granted) {
                item.covers.push(Cover { kind: "included", micro, price: 0, charged: micro });
            }
        }
    }

    fn pools(&self, segments: &[Segment], items: &mut [Item]) {
        let mut granted = BTreeMap::new();
        for (number, segment) in segments.iter().enumerate() {
            let Some((cards, included, is_each)) = &self.versions[segment.version].pool else { continue };
            for name in cards {
                for item in items.iter_mut().filter(|item| item.segment == number && &item.card.name == name)
                {
                    let is_done = item.rest() == 0 && !item.covers.is_empty();
                    if item.base == 0 || is_done {
                        continue;
                    }
                    if let Some(micro) = item.cover(*included, *is_each, "pool", &mut granted) {
                        item.covers.push(Cover { kind: "included-pool", micro, price: 0, charged: micro });
                    }
                }
            }
        }
    }

    /// Lets usage fill the commitments; what is missing, with its price, by segment and card.
    fn commitments(&self, segments: &[Segment], items: &mut [Item]) -> Vec<(usize, String, i128, i128)> {
        let mut accounts = BTreeMap::<(bool, usize), (i128, i128, usize)>::new();
        let of = |segment: &Segment| {
            let version = &self.versions[segment.version];
            let (card, quantity, price, is_true_up) = version.commitment.clone()?;
            let meter = version.cards.iter().find(|other| other.name == card).unwrap().meter.0;
            let until = |hour: i64| nearest_even(quantity * i128::from(hour), i128::from(HOURS));
            Some((card, until(segment.to) - until(segment.from), price, (is_true_up, meter)))
        };
        for (number, segment) in segments.iter().enumerate() {
            let Some((_, quantity, _, account)) = of(segment) else { continue };
            let account = accounts.entry(account).or_default();
            account.0 += quantity;
            account.2 = number;
        }
        let mut missing = Vec::new();
        for (number, segment) in segments.iter().enumerate() {
            let Some((card, quantity, price, key)) = of(segment) else { continue };
            let account = accounts.get_mut(&key).unwrap();
            let mut is_first = true;
            for item in items.iter_mut().filter(|item| item.segment == number && item.card.name == card) {
                let micro = item.rest().min(account.0 - account.1);
                account.1 += micro;
                item.take(micro);
                let charged = if key.0 {
                    micro
                } else if is_first {
                    quantity
                } else {
                    0
                };
                if 0 < micro || (is_first && !key.0) {
                    item.covers.push(Cover { kind: "committed-reserved", micro, price, charged });
                }
                is_first = false;
            }
            if key.0 && account.1 < account.0 && account.2 == number {
                missing.push((number, card, account.0 - account.1, price));
            }
        }
        missing
    }
}

impl Item {
    fn rest(&self) -> i128 {
        self.micro - self.covers.iter().map(|cover| cover.micro).sum::<i128>()
    }

    fn take(&mut self, micro: i128) {
        let parts = share_out(micro, &self.left);
        self.left.iter_mut().zip(parts).for_each(|(left, part)| *left -= part);
    }

    /// What an allowance covers; `None` when nothing of it was left.
    fn cover(
        &mut self,
        included: i128,
        is_each: bool,
        name: &str,
        granted: &mut BTreeMap<(String, Option<usize>), i128>,
    ) -> Option<i128> {
        if !is_each {
            let granted = granted.entry((name.to_owned(), None)).or_default();
            let open = (included - *granted).max(0);
            let micro = open.min(self.rest());
            *granted += micro;
            self.take(micro);
            return (0 < open).then_some(micro);
        }
        let (mut all, mut was_open) = (0, false);
        for instance in (0..INSTANCES).filter(|n| self.used[*n]) {
            let granted = granted.entry((name.to_owned(), Some(instance))).or_default();
            let open = (included - *granted).max(0);
            let micro = open.min(self.left[instance]);
            *granted += micro;
            self.left[instance] -= micro;
            all += micro;
            was_open |= 0 < open;
        }
        was_open.then_some(all)
    }
}

impl Bill<'_> {
    /// Coins of `micro` units at a price of the plan, taxed at `tax`.
    fn coins(&self, micro: i128, price: i128, tax: i128) -> i128 {
        let rate = self.world.exchange.unwrap_or(MICRO);
        let tax = if self.world.is_gross { tax } else { 0 };
        let above = micro * price * rate * 10_i128.pow(self.world.exponent) * TEN_THOUSAND;
        nearest_up(above, MICRO * TEN_THOUSAND * MICRO * (TEN_THOUSAND + tax))
    }

    /// Coins of an amount of the plan in 10^-4, without a look at the tax.
    fn exchanged(&self, amount: i128) -> i128 {
        let rate = self.world.exchange.unwrap_or(MICRO);
        nearest_up(amount * rate * 10_i128.pow(self.world.exponent), TEN_THOUSAND * MICRO)
    }

    fn line(
        &mut self,
        segment: usize,
        rest: &str,
        (base, micro, coins): (i128, i128, i128),
        owner: Option<&str>,
        tax: i128,
    ) {
        let key = format!("example/{}/{rest}", self.segments[segment].name);
        assert!(self.lines.insert(key.clone(), Line { base, micro, coins }).is_none(), "two lines {key}");
        self.charged.push(Charged { segment, owner: owner.map(str::to_owned), tax, coins, left: coins });
    }

    fn version(&self, segment: usize) -> &Version {
        &self.world.versions[self.segments[segment].version]
    }

    fn cards(&mut self, items: &[Item], shortfalls: &[(usize, String, i128, i128)]) {
        let mut fills = BTreeMap::<(String, usize), (i128, bool)>::new();
        let mut charged = BTreeMap::<(String, usize), i128>::new();
        for (n, item) in items.iter().enumerate() {
            let name = item.card.name.clone();
            let id = (name.clone(), item.card.meter.0);
            let same =
                |other: &&Item| (other.card.name.as_str(), other.card.meter.0) == (name.as_str(), id.1);
            let tax = self.segments[item.segment].taxes[usize::from(item.card.is_reduced)];
            let begin = self.charged.len();
            let all: i128 = items.iter().filter(same).map(Item::rest).sum();
            self.item(item, tax, fills.entry(id.clone()).or_default(), all);
            let is_last_band =
                items.get(n + 1).is_none_or(|next| !same(&next) || next.segment != item.segment);
            if is_last_band {
                for (_, _, micro, price) in shortfalls.iter().filter(|s| s.0 == item.segment && s.1 == name) {
                    let coins = self.coins(*micro, *price, tax);
                    let rest = format!("{}/shortfall-reserved", path(item));
                    self.line(item.segment, &rest, (0, *micro, coins), Some(&name), tax);
                }
            }
            let sum = charged.entry(id.clone()).or_default();
            *sum += self.charged[begin..].iter().map(|line| line.coins).sum::<i128>();
            if !is_last_band {
                continue;
            }
            let is_last = !items[n + 1..].iter().any(|other| same(&other));
            let is_used = items.iter().filter(same).any(|other| 0 < other.base);
            let own: i128 = self.own(item.segment, &name);
            let bounds = (
                item.card.bounds.0.map(|b| self.coins(MICRO, b, tax)),
                item.card.bounds.1.map(|b| self.coins(MICRO, b, tax)),
            );
            if let Some((kind, coins)) = bound(bounds, *sum, own, is_last && is_used) {
                *sum += coins;
                self.line(item.segment, &format!("{name}/{kind}"), (0, MICRO, coins), Some(&name), tax);
            }
        }
    }

    fn own(&self, segment: usize, owner: &str) -> i128 {
        let own = self.charged.iter().filter(|l| l.segment == segment && l.owner.as_deref() == Some(owner));
        own.map(|line| line.coins).sum()
    }

    /// The lines of an item. Base units lie between the nearest cuts.
    fn item(&mut self, item: &Item, tax: i128, fill: &mut (i128, bool), all: i128) {
        let (name, segment) = (&item.card.name, item.segment);
        let mut at = (0, 0);
        let mut base = |micro: i128| {
            let end = at.0 + micro;
            let cut =
                if end == item.micro { item.base } else { nearest_even(end * item.card.meter.1, MICRO) };
            let from = at.1;
            at = (end, cut.clamp(from, item.base));
            at.1 - from
        };
        for Cover { kind, micro, price, charged } in &item.covers {
            let figures = (base(*micro), *charged, self.coins(*charged, *price, tax));
            self.line(segment, &format!("{}/{kind}", path(item)), figures, Some(name), tax);
        }
        if let Price::Percentile(percent, price) = item.card.price {
            return self.percentile_line(item, percent, price, tax);
        }
        let rest = item.rest();
        if rest == 0 && (!item.covers.is_empty() || item.base == 0) {
            return;
        }
        let (before, after) = (fill.0, fill.0 + rest);
        match &item.card.price {
            Price::Percentile(..) => unreachable!("it was charged above"),
            Price::Unit(price) => {
                let price = if item.is_night { item.card.night.unwrap() } else { *price };
                let figures = (base(rest), rest, self.coins(rest, price, tax));
                self.line(segment, &format!("{}/standard", path(item)), figures, Some(name), tax);
            }
            Price::Flat(amount) => {
                let micro = if fill.1 { 0 } else { MICRO };
                let figures = (base(rest), micro, self.coins(micro, *amount, tax));
                self.line(segment, &format!("{name}/flat"), figures, Some(name), tax);
                fill.1 = true;
            }
            Price::Package(size, price) => {
                let begun = |units: i128| units / size + i128::from(units % size != 0);
                let micro = (begun(after) - begun(before)) * MICRO;
                let figures = (base(rest), micro, self.coins(micro, *price, tax));
                self.line(segment, &format!("{name}/package"), figures, Some(name), tax);
            }
            Price::Graduated(tiers) => {
                let mut from = 0;
                for (n, (to, price, flat)) in tiers.iter().enumerate() {
                    let micro = to.map_or(after, |to| to.min(after)) - before.max(from);
                    let is_next = rest == 0 && from <= before && to.is_none_or(|to| before < to);
                    if 0 < micro || is_next {
                        let figures = (base(micro), micro, self.coins(micro, *price, tax));
                        self.line(segment, &format!("{name}/graduated-{}", n + 1), figures, Some(name), tax);
                    }
                    if 0 < micro && before <= from {
                        self.tier_flat(item, n, *flat, tax);
                    }
                    from = to.unwrap_or(from);
                }
            }
            Price::Volume(tiers) => {
                let n = tiers.iter().position(|(to, ..)| to.is_none_or(|to| all < to)).unwrap();
                let (_, price, flat) = tiers[n];
                let figures = (base(rest), rest, self.coins(rest, price, tax));
                self.line(segment, &format!("{name}/volume"), figures, Some(name), tax);
                if 0 < rest && !fill.1 {
                    fill.1 = true;
                    self.tier_flat(item, n, flat, tax);
                }
            }
        }
        fill.0 = after;
    }

    /// What a percentile costs in an item's segment: its part of the period, by time.
    fn percentile_line(&mut self, item: &Item, percent: i128, price: i128, tax: i128) {
        let (name, segment) = (&item.card.name, item.segment);
        let bytes = self.world.usage.iter().filter(|used| used.meter == item.card.meter.0);
        let rate = percentile(bytes.map(|used| (used.hour, used.base)), percent);
        let until = |hour: i64| nearest_even(rate * i128::from(hour), i128::from(HOURS));
        let micro = until(self.segments[segment].to) - until(self.segments[segment].from);
        let figures = (item.base, micro, self.coins(micro, price, tax));
        self.line(segment, &format!("{name}/percentile"), figures, Some(name), tax);
    }

    /// What a tier costs once.
    fn tier_flat(&mut self, item: &Item, n: usize, flat: i128, tax: i128) {
        if 0 < flat {
            let (name, figures) = (&item.card.name, (0, MICRO, self.coins(MICRO, flat, tax)));
            self.line(item.segment, &format!("{name}/flat-{}", n + 1), figures, Some(name), tax);
        }
    }

    fn fees(&mut self) {
        let mut done = BTreeSet::<(String, Option<usize>)>::new();
        let mut sums = BTreeMap::<String, i128>::new();
        for segment in 0..self.segments.len() {
            let (from, to) = (self.segments[segment].from, self.segments[segment].to);
            for fee in self.version(segment).fees.clone() {
                let (name, (kind, micro, amount)) = match fee.kind {
                    FeeKind::Monthly { amount, is_each, is_prorated } => {
                        let until = |hour: i64| nearest_even(MICRO * i128::from(hour), i128::from(HOURS));
                        let share = if is_prorated { until(to) - until(from) } else { MICRO };
                        // What is shared by time is due in each part, what is not in the first.
                        let whom = self.whom(segment, is_each).into_iter();
                        let due = whom.filter(|who| is_prorated || done.insert((fee.name.clone(), *who)));
                        let micro = due.count() as i128 * share;
                        (fee.name, ("fee", micro, amount))
                    }
                    FeeKind::Once { amount, hour } => {
                        let is_due = from <= hour && hour < to;
                        (fee.name, ("one_time", if is_due { MICRO } else { 0 }, amount))
                    }
                    FeeKind::Percentage { .. } => {
                        self.percentage(segment, &fee, &mut sums);
                        continue;
                    }
                };
                if 0 < micro {
                    let tax = self.segments[segment].taxes[0];
                    let figures = (0, micro, self.coins(micro, amount, tax));
                    self.line(segment, &format!("{name}/{kind}"), figures, Some(&name), tax);
                }
            }
        }
    }

    /// For whom a fee is due: for the tenant, or for each instance that used anything.
    fn whom(&self, segment: usize, is_each: bool) -> Vec<Option<usize>> {
        if !is_each {
            return vec![None];
        }
        let Segment { from, to, .. } = self.segments[segment];
        // Volumes are none.
        let counts = |used: &&Used| 0 < used.base && !used.is_volume && from <= used.hour && used.hour < to;
        let used = self.world.usage.iter().filter(counts);
        used.map(|used| Some(used.instance)).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn percentage(&mut self, segment: usize, fee: &Fee, sums: &mut BTreeMap<String, i128>) {
        let FeeKind::Percentage { rate, of, fixed, bounds } = &fee.kind else { unreachable!() };
        let (name, tax) = (&fee.name, self.segments[segment].taxes[0]);
        let is_of = |line: &&Charged| line.segment == segment && (of.is_none() || &line.owner == of);
        let base: i128 = self.charged.iter().filter(is_of).map(|line| line.coins).sum();
        if 0 < base {
            let micro = base * MICRO / 10_i128.pow(self.world.exponent);
            let figures = (0, micro, nearest_up(base * rate, TEN_THOUSAND));
            self.line(segment, &format!("{name}/percentage"), figures, Some(name), tax);
            if 0 < *fixed && !sums.contains_key(name) {
                let figures = (0, MICRO, self.coins(MICRO, *fixed, tax));
                self.line(segment, &format!("{name}/fee"), figures, Some(name), tax);
            }
            *sums.entry(name.clone()).or_default() += self.own(segment, name);
        }
        let has_fee = |later: usize| self.version(later).fees.iter().any(|other| &other.name == name);
        let is_last = !(segment + 1..self.segments.len()).any(has_fee);
        let coins = |bound: Option<i128>| bound.map(|bound| self.coins(MICRO, bound, tax));
        let Some(sum) = sums.get(name).copied() else { return };
        let own = self.own(segment, name);
        if let Some((kind, coins)) = bound((coins(bounds.0), coins(bounds.1)), sum, own, is_last) {
            sums.insert(name.clone(), sum + coins);
            self.line(segment, &format!("{name}/{kind}"), (0, MICRO, coins), Some(name), tax);
        }
    }

    /// What a maximum took off is taken off its owner's lines.
    fn maximums_of_owners(&mut self) {
        for n in 0..self.charged.len() {
            let off = -self.charged[n].left;
            if off <= 0 {
                continue;
            }
            let (segment, owner) = (self.charged[n].segment, self.charged[n].owner.clone());
            let own: Vec<usize> = (0..self.charged.len())
                .filter(|m| {
                    let line = &self.charged[*m];
                    line.segment == segment && line.owner == owner && 0 < line.left
                })
                .collect();
            self.take(&own, off);
            self.charged[n].left = 0;
        }
    }

    fn take(&mut self, lines: &[usize], off: i128) {
        let weights: Vec<i128> = lines.iter().map(|n| self.charged[*n].left).collect();
        for (n, part) in lines.iter().zip(share_out(off, &weights)) {
            self.charged[*n].left -= part;
        }
    }

    /// Lines of a segment by tax, in the order in which taxes come; those of which nothing is left are no group.
    fn groups(&self, segment: usize, of: Option<&String>) -> Vec<(i128, Vec<usize>, i128)> {
        let mut groups = Vec::<(i128, Vec<usize>, i128)>::new();
        for (n, line) in self.charged.iter().enumerate() {
            if line.segment != segment || (of.is_some() && line.owner.as_ref() != of) {
                continue;
            }
            match groups.iter_mut().find(|(tax, ..)| *tax == line.tax) {
                Some(group) => {
                    group.1.push(n);
                    group.2 += line.left;
                }
                None => groups.push((line.tax, vec![n], line.left)),
            }
        }
        groups.retain(|(.., sum)| 0 < *sum);
        groups
    }

    fn take_off(&mut self, segment: usize, rest: &str, groups: &[(i128, Vec<usize>, i128)], off: &[i128]) {
        let mut number = 0;
        for ((tax, lines, _), off) in groups.iter().zip(off) {
            if *off == 0 {
                continue;
            }
            number += 1;
            let rest = if number == 1 { rest.to_owned() } else { format!("{rest}-{number}") };
            self.take(lines, *off);
            self.line(segment, &rest, (0, MICRO, -off), None, *tax);
            self.charged.last_mut().unwrap().left = 0;
        }
    }

    /// Spreads what is left of an amount, in what customers pay, and frees each part of its tax.
    fn limited(&self, groups: &[(i128, Vec<usize>, i128)], limit: i128, taken: &mut i128) -> Vec<i128> {
        let tax_of = |tax: i128| if self.world.is_gross { tax } else { 0 };
        let costs: Vec<i128> = groups
            .iter()
            .map(|(tax, _, sum)| nearest_up(sum * (TEN_THOUSAND + tax_of(*tax)), TEN_THOUSAND))
            .collect();
        let total = (limit - *taken).min(costs.iter().sum()).max(0);
        *taken += total;
        let parts = share_out(total, &costs);
        let net = |((tax, _, sum), (part, cost)): (&(i128, Vec<usize>, i128), (i128, &i128))| {
            if part == *cost {
                *sum
            } else {
                nearest_up(part * TEN_THOUSAND, TEN_THOUSAND + tax_of(*tax)).min(*sum)
            }
        };
        groups.iter().zip(parts.into_iter().zip(&costs)).map(net).collect()
    }

    fn discounts(&mut self) {
        let mut taken = BTreeMap::<String, i128>::new();
        for segment in 0..self.segments.len() {
            for Discount { name, off, of } in self.version(segment).discounts.clone() {
                let groups = self.groups(segment, of.as_ref());
                let off = match off {
                    Ok(fraction) => {
                        groups.iter().map(|(.., sum)| nearest_up(sum * fraction, TEN_THOUSAND)).collect()
                    }
                    Err(amount) => {
                        let taken = taken.entry(name.clone()).or_default();
                        self.limited(&groups, self.exchanged(amount), taken)
                    }
                };
                self.take_off(segment, &format!("{name}/discount"), &groups, &off);
            }
        }
    }

    fn bounds(&mut self) {
        if self.charged.is_empty() {
            return;
        }
        let mut sum = 0;
        for segment in 0..self.segments.len() {
            let own: i128 = self.charged.iter().filter(|l| l.segment == segment).map(|l| l.left).sum();
            sum += own;
            let bounds = self.version(segment).bounds;
            let bounds = (bounds.0.map(|b| self.exchanged(b)), bounds.1.map(|b| self.exchanged(b)));
            let is_last = segment + 1 == self.segments.len();
            let Some((kind, coins)) = bound(bounds, sum, own, is_last) else { continue };
            sum += coins;
            if kind == "minimum" {
                let tax = self.segments[segment].taxes[0];
                self.line(segment, "minimum", (0, MICRO, coins), None, tax);
            } else {
                let groups = self.groups(segment, None);
                let sums: Vec<i128> = groups.iter().map(|(.., sum)| *sum).collect();
                let off = share_out(-coins, &sums);
                self.take_off(segment, "maximum", &groups, &off);
            }
        }
    }

    fn trial(&mut self) {
        let mut taken = 0;
        for segment in 0..self.segments.len() {
            let Some((_, credit)) = self.version(segment).trial.filter(|_| self.segments[segment].is_trial)
            else {
                continue;
            };
            let groups = self.groups(segment, None);
            let off = match credit {
                None => groups.iter().map(|(.., sum)| *sum).collect(),
                Some(credit) => self.limited(&groups, self.exchanged(credit), &mut taken),
            };
            self.take_off(segment, "trial", &groups, &off);
        }
    }

    fn sponsor(&mut self) {
        for segment in (0..self.segments.len()).filter(|n| self.version(*n).is_sponsored).collect::<Vec<_>>()
        {
            let groups = self.groups(segment, None);
            let off: Vec<i128> = groups.iter().map(|(.., sum)| *sum).collect();
            self.take_off(segment, "sponsored", &groups, &off);
        }
    }
}

/// The line that bounds want, and its coins.
fn bound(bounds: Bounds, sum: i128, own: i128, is_last: bool) -> Option<(&'static str, i128)> {
    match bounds {
        (_, Some(most)) if most < sum && 0 < own => Some(("maximum", -(sum - most).min(own))),
        (Some(least), _) if is_last && sum < least => Some(("minimum", least - sum)),
        _ => None,
    }
}

fn path(item: &Item) -> String {
    if item.is_night { format!("{}/night", item.card.name) } else { item.card.name.clone() }
}
