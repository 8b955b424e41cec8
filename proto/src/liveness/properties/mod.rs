//! The machines against simple models on a virtual clock: loss, duplication, reordering, stalls, forgery.

mod health;
mod sender;
mod tunnel;
