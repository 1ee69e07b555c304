//! Buyers against a small server that answers as seckill-api does; and what is made up for the scenarios of failed work.

mod buyers;
mod seed;
mod shop;
mod stage;
