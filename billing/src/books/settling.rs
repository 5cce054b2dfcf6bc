//! What has been paid meets what is owed: the oldest first, and invoices say `paid` exactly while nothing is owed on them.
//! It records no payments.

use jiff::Timestamp;
use metering::{TenantId, micros};
use migrations::Transaction;
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use super::ledger::{Account, Kind, Posting, read_money};
use super::sql;
use crate::money::{Currency, Money};
use crate::store::invoices::StoreError;
use crate::webhooks::{self, EventType};

/// Something that is owed, or that was paid and not used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    id: Uuid,
    amount: Decimal,
    /// Of an invoice.
    number: Option<String>,
}

/// So much of a source is used for something that is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Use {
    source: Uuid,
    target: Item,
    amount: Decimal,
}

/// Uses what a tenant has as credit, and of a prepaid tenant the wallet, for what it owes in `currency`: first for the item
/// `first`, then for the oldest. Invoices on which nothing is owed afterwards are paid: these are given back.
pub(crate) async fn settle(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    currency: Currency,
    first: Option<Uuid>,
    now: Timestamp,
) -> Result<Vec<Uuid>, StoreError> {
    let (mut owed, credits) = open_items(transaction, tenant, currency).await?;
    if owed.is_empty() {
        return Ok(Vec::new());
    }
    owed.sort_by_key(|item| Some(item.id) != first);
    let mut touched = Vec::new();
    for one in uses(&mut owed, &credits) {
        touched.push(one.target.id);
        let amount = exact(one.amount, currency)?;
        let about = one.target.number.unwrap_or_default();
        Posting::new(Kind::Allocation, format!("allocation/{}", Uuid::now_v7()), about)
            .moves(amount, Account::Receivable(one.target.id), Account::Credit(one.source))
            .post(transaction, tenant, now)
            .await?;
    }
    if !owed.is_empty() {
        touched.extend(draw(transaction, tenant, currency, &mut owed, now).await?);
    }
    if touched.is_empty() { Ok(touched) } else { mark_paid(transaction, tenant, &touched, now).await }
}

/// What a tenant has in `currency` that could be given back to it: its credit, the oldest first, then the wallet.
pub(crate) async fn spendable(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    currency: Currency,
) -> Result<Vec<(Account, Decimal)>, StoreError> {
    let (_, credits) = open_items(transaction, tenant, currency).await?;
    let row = transaction.query_one(sql::PURSE, &[&tenant.uuid(), &currency.code()]).await?;
    let wallet: Decimal = row.try_get("wallet")?;
    let mut all: Vec<_> = credits.into_iter().map(|item| (Account::Credit(item.id), item.amount)).collect();
    all.push((Account::Wallet, wallet.max(Decimal::ZERO)));
    Ok(all)
}

/// Whether more of a credit was used or given back than there was.
pub(crate) async fn is_overdrawn(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    currency: Currency,
    item: Uuid,
) -> Result<bool, StoreError> {
    for row in transaction.query(sql::OPEN_ITEMS, &[&tenant.uuid(), &currency.code()]).await? {
        let (account, amount): (&str, Decimal) = (row.try_get("account")?, row.try_get("amount")?);
        if account == "credit" && Decimal::ZERO < amount && row.try_get::<_, Uuid>("item_id")? == item {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes back what was used for an invoice, or of a payment: it is credit, or in the wallet, again. Gives what is owed again.
pub(crate) async fn release(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    item: Uuid,
    now: Timestamp,
) -> Result<Vec<Uuid>, StoreError> {
    let mut targets = Vec::new();
    for row in transaction.query(sql::ALLOCATED, &[&tenant.uuid(), &item]).await? {
        let amount = read_money(&row, "amount")?;
        let (source, target): (Option<Uuid>, Uuid) = (row.try_get("source_id")?, row.try_get("target_id")?);
        let source = source.map_or(Account::Wallet, Account::Credit);
        let about: Option<String> = row.try_get("number")?;
        Posting::new(Kind::Release, format!("release/{}", Uuid::now_v7()), about.unwrap_or_default())
            .moves(amount, source, Account::Receivable(target))
            .post(transaction, tenant, now)
            .await?;
        targets.push(target);
    }
    Ok(targets)
}

/// Marks those of `invoices` as paid on which nothing is owed any more, and says which.
pub(crate) async fn mark_paid(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    invoices: &[Uuid],
    now: Timestamp,
) -> Result<Vec<Uuid>, StoreError> {
    let mut paid = Vec::new();
    for row in transaction.query(sql::INVOICES_PAID, &[&invoices, &micros(now)]).await? {
        let (number, total): (&str, Money) = (row.try_get("number")?, read_money(&row, "total")?);
        let data = json!({ "number": number, "total": total });
        webhooks::emit(transaction, EventType::InvoicePaid, tenant, &data, now).await?;
        paid.push(row.try_get("invoice_id")?);
    }
    Ok(paid)
}

/// Marks those of `invoices` as issued that were paid and are not any more.
pub(crate) async fn mark_unpaid(transaction: &Transaction<'_>, invoices: &[Uuid]) -> Result<(), StoreError> {
    transaction.execute(sql::INVOICES_UNPAID, &[&invoices]).await?;
    Ok(())
}

/// `amount` in whole coins.
pub(crate) fn exact(amount: Decimal, currency: Currency) -> Result<Money, StoreError> {
    Money::exact(amount, currency)
        .map_err(|error| StoreError::unreadable("amount in", currency.code(), &error))
}

/// What is owed, and what is there to pay it with (positive both), the oldest first.
async fn open_items(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    currency: Currency,
) -> Result<(Vec<Item>, Vec<Item>), StoreError> {
    let (mut owed, mut credits) = (Vec::new(), Vec::new());
    for row in transaction.query(sql::OPEN_ITEMS, &[&tenant.uuid(), &currency.code()]).await? {
        let (account, amount): (&str, Decimal) = (row.try_get("account")?, row.try_get("amount")?);
        let item = Item { id: row.try_get("item_id")?, amount: amount.abs(), number: row.try_get("number")? };
        match (account, amount.is_sign_negative()) {
            ("receivable", false) => owed.push(item),
            ("credit", true) => credits.push(item),
            _ => {}
        }
    }
    Ok((owed, credits))
}

/// Which credit is used for what. What is left of `owed` is still owed.
fn uses(owed: &mut Vec<Item>, credits: &[Item]) -> Vec<Use> {
    let mut uses = Vec::new();
    let mut next = owed.iter_mut().peekable();
    for credit in credits {
        let mut left = credit.amount;
        while !left.is_zero() {
            let Some(target) = next.peek_mut() else { break };
            let amount = left.min(target.amount);
            uses.push(Use { source: credit.id, target: Item::clone(target), amount });
            left -= amount;
            target.amount -= amount;
            if target.amount.is_zero() {
                next.next();
            }
        }
    }
    owed.retain(|item| !item.amount.is_zero());
    uses
}

/// Takes what is still owed from the wallet of a prepaid tenant, as far as it goes. Gives what was touched.
async fn draw(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    currency: Currency,
    owed: &mut [Item],
    now: Timestamp,
) -> Result<Vec<Uuid>, StoreError> {
    let row = transaction.query_one(sql::PURSE, &[&tenant.uuid(), &currency.code()]).await?;
    let (mut wallet, is_prepaid): (Decimal, bool) = (row.try_get("wallet")?, row.try_get("is_prepaid")?);
    let mut touched = Vec::new();
    if !is_prepaid {
        return Ok(touched);
    }
    for item in owed {
        let amount = wallet.min(item.amount);
        if amount <= Decimal::ZERO {
            break;
        }
        let about = item.number.clone().unwrap_or_default();
        Posting::new(Kind::Draw, format!("draw/{}", Uuid::now_v7()), about)
            .moves(exact(amount, currency)?, Account::Receivable(item.id), Account::Wallet)
            .post(transaction, tenant, now)
            .await?;
        wallet -= amount;
        item.amount -= amount;
        touched.push(item.id);
    }
    Ok(touched)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `owed | credits -> uses | still owed`, each a list of amounts; a use is `credit:invoice:amount`.
    fn check(owed: &[i64], credits: &[i64], expected: &[(u128, u128, i64)], left: &[i64]) {
        let items = |amounts: &[i64], from: u128| -> Vec<Item> {
            let ids = (from..).zip(amounts);
            ids.map(|(id, amount)| Item {
                id: Uuid::from_u128(id),
                amount: Decimal::from(*amount),
                number: None,
            })
            .collect()
        };
        let (mut owed, credits) = (items(owed, 0), items(credits, 100));
        let got: Vec<_> = uses(&mut owed, &credits)
            .iter()
            .map(|one| (one.source.as_u128() - 100, one.target.id.as_u128(), one.amount))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(credit, invoice, amount)| (*credit, *invoice, Decimal::from(*amount)))
            .collect();
        assert_eq!(got, expected);
        assert_eq!(
            owed.iter().map(|item| item.amount).collect::<Vec<_>>(),
            left.iter().map(|n| Decimal::from(*n)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_oldest_invoice_is_paid_first_and_no_coin_is_used_twice() {
        check(&[], &[], &[], &[]);
        check(&[10], &[], &[], &[10]);
        check(&[], &[10], &[], &[]);
        check(&[10], &[10], &[(0, 0, 10)], &[]);
        check(&[10], &[4], &[(0, 0, 4)], &[6]);
        check(&[10], &[4, 6, 5], &[(0, 0, 4), (1, 0, 6)], &[]);
        check(&[10, 20], &[25], &[(0, 0, 10), (0, 1, 15)], &[5]);
        check(&[10, 20, 30], &[15, 15, 5], &[(0, 0, 10), (0, 1, 5), (1, 1, 15), (2, 2, 5)], &[25]);
    }
}
