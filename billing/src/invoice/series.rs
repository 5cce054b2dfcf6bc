//! How invoices are numbered: `INV-2026-000001`, and credit notes in a series of their own, `CN-2026-000001`. Pure; numbers
//! are taken in [`crate::invoice::issue`].

use super::document::DocumentKind;

/// The longest name of a series, without the year: what the schema takes.
const NAME_MAX: usize = 20;

/// The names of the two series, without the year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    invoices: String,
    credit_notes: String,
}

/// Names that are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// It has characters that make numbers hard to read, or too many.
    #[error(
        "{0:?} is no name of a series; use A-Z, 0-9 and '-' between them, at most {NAME_MAX} characters, such as INV"
    )]
    Name(String),
    /// One series cannot hold both.
    #[error("invoices and credit notes are numbered apart; give {0} to one of them only")]
    Same(String),
}

impl Series {
    /// Series of these names.
    ///
    /// # Errors
    /// See [`SeriesError`].
    pub fn new(invoices: &str, credit_notes: &str) -> Result<Self, SeriesError> {
        for name in [invoices, credit_notes] {
            if !is_name(name) {
                return Err(SeriesError::Name(name.chars().take(80).collect()));
            }
        }
        if invoices == credit_notes {
            return Err(SeriesError::Same(invoices.to_owned()));
        }
        Ok(Self { invoices: invoices.to_owned(), credit_notes: credit_notes.to_owned() })
    }

    /// The series of a document of that kind in that year.
    pub(crate) fn of(&self, kind: DocumentKind, year: i16) -> String {
        let name = match kind {
            DocumentKind::CreditNote => &self.credit_notes,
            DocumentKind::Invoice | DocumentKind::CorrectedInvoice => &self.invoices,
        };
        format!("{name}-{year:04}")
    }
}

impl Default for Series {
    fn default() -> Self {
        Self { invoices: "INV".to_owned(), credit_notes: "CN".to_owned() }
    }
}

/// Whether `series` is the name of a series with its year: `INV-2026`.
pub(crate) fn is_series(series: &str) -> bool {
    series.rsplit_once('-').is_some_and(|(name, year)| {
        is_name(name) && year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    name.len() <= NAME_MAX
        && bytes.iter().all(|byte| letter(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| letter(*byte))
        && bytes.last().is_some_and(|byte| letter(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_a_name_that_fits_into_a_number() {
        for good in ["INV", "CN", "A", "ACME-INV", "2", "ABCDEFGHIJKLMNOPQRST"] {
            assert!(Series::new(good, "OTHER").is_ok(), "{good}");
            assert!(is_series(&format!("{good}-2026")), "{good}");
        }
        for bad in ["", "-", "inv", "INV-", "-INV", "IN V", "INV/1", "😀", "ABCDEFGHIJKLMNOPQRSTU"] {
            assert!(matches!(Series::new(bad, "CN"), Err(SeriesError::Name(_))), "{bad}");
            assert!(!is_series(&format!("{bad}-2026")), "{bad}");
        }
        assert_eq!(Series::new("X", "X"), Err(SeriesError::Same("X".to_owned())));
    }
}
