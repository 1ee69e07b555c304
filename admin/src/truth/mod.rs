//! The truth about an archived order, on its page and as JSON: what each place says of it, a verdict, and a button that makes them agree.
//!
//! What is read and what it means is `ordering::truth`'s; what the button does is the compensator's. Redis may be away: then its part is
//! unknown, and nothing waits for it.

pub(crate) mod api;
mod asking;
pub(crate) mod forms;
mod panel;
mod words;

pub(crate) use panel::Panel;
pub(crate) use words::noted;

use crate::App;
use compensation::archive::{Archived, Pending, Stage};
use ordering::truth::{self, Asked, Repairs, Truth, Verdict};

/// What was seen of an order.
#[derive(Debug)]
pub(crate) struct Seen {
    pub truth: Truth,
    pub verdict: Verdict,
    /// Whether an operation has the order in hand.
    in_hand: bool,
}

impl Seen {
    /// Looks at everything; `None`: the row is not about an order.
    ///
    /// # Errors
    /// What MySQL says.
    pub async fn of(app: &App, archived: &Archived) -> sqlx::Result<Option<Self>> {
        let (Some(order), Some(sale), Some(user)) =
            (archived.order_id, archived.sale_id, archived.user_id)
        else {
            return Ok(None);
        };
        let Pending { stage, gids } = Pending::of(&app.db, archived, None).await?;
        let repairs = match stage {
            Stage::UnderWay => Repairs::UnderWay,
            Stage::Held => Repairs::Held,
            Stage::Open => Repairs::GivenUp,
            Stage::Over => Repairs::Over,
        };
        let asked = Asked::of(order, sale, user, gids, repairs);
        let truth = truth::of_order(&app.db, app.stock.as_ref(), asked).await?;
        Ok(Some(Self {
            verdict: truth::verdict(&truth),
            truth,
            in_hand: archived.operation_id.is_some(),
        }))
    }

    /// Why a reconcile would be refused now.
    pub fn refusal(&self) -> Option<&'static str> {
        if self.in_hand {
            Some("in_hand")
        } else if self.verdict.mend().is_some() {
            None
        } else if !self.verdict.wrong.is_empty() {
            Some("needs_a_person")
        } else {
            Some(self.verdict.as_str())
        }
    }
}
