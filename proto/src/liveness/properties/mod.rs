//! The machines against simple models on a virtual clock: loss, duplication, reordering, stalls, forgery.

mod dpd;
mod ends;
mod health;
mod sender;
mod tunnel;
