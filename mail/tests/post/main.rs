//! Mail against a real database and a real SMTP server, in one program: it links once.

mod delivery;
mod letters;
mod support;
