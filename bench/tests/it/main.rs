//! Buyers against a small server that answers as seckill-api does.

mod buyers;
mod shop;
mod stage;
