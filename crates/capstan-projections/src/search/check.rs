//! Compares the index with the rows.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Error;
use uuid::Uuid;

use super::gram::Gram;
use super::pages::{self, Places};
use super::texts::Texts;
use crate::session::Session;

/// The tasks that a search would not find, by the index and the rows of the session's open transaction.
pub(crate) async fn differing(session: &Session) -> Result<Vec<String>, Error> {
    let client = session.client();
    let blocks =
        client.query("SELECT block, position FROM capstan.search_blocks ORDER BY block", &[]).await?;
    let end = blocks.iter().map(|row| row.get::<_, i64>(1)).max().unwrap_or_default();
    let sql = "SELECT id FROM capstan.acceptances WHERE position <= $1 EXCEPT SELECT unnest(ids) FROM capstan.search_ids";
    let mut differing: HashSet<Uuid> =
        client.query(sql, &[&end]).await?.iter().map(|row| row.get(0)).collect();
    let sql = "SELECT id FROM capstan.tasks WHERE reworded_at <= $1";
    let mut reworded: HashSet<Uuid> =
        client.query(sql, &[&end]).await?.iter().map(|row| row.get(0)).collect();
    for row in &blocks {
        let (block, position): (i32, i64) = (row.get(0), row.get(1));
        let sql = "SELECT first, page FROM capstan.search_pages WHERE block = $1";
        let pages = client.query(sql, &[&block]).await?;
        let grams = pages.iter().flat_map(|row| pages::read(row.get(0), row.get(1)));
        let grams: HashMap<Gram, Places> = grams.collect();
        let sql = "SELECT i.n, t.id, t.workspace, t.label, t.doc, a.doc, t.reworded_at FROM capstan.search_ids s, \
                   LATERAL unnest(s.ids) WITH ORDINALITY i(id, n), capstan.tasks t, capstan.acceptances a \
                   WHERE s.block = $1 AND s.part = $2 AND t.id = i.id AND a.id = i.id \
                     AND a.position <= $3 AND coalesce(t.reworded_at <= $3, true)";
        for part in 0..(super::BLOCK / super::IDS) as i32 {
            for row in client.query(sql, &[&block, &part, &position]).await? {
                let (number, id): (i64, Uuid) = (row.get(0), row.get(1));
                let place = part as usize * super::IDS + number as usize - 1;
                let has = |gram: Gram| grams.get(&gram).is_some_and(|places| places.contains(place));
                let texts = Texts::read(row.get(3), row.get(4), row.get(5));
                // What was changed since is in a later block, too.
                let is_known = texts.is_ok_and(|texts| texts.grams(row.get(2)).into_iter().all(has));
                if is_known {
                    reworded.remove(&id);
                } else if row.get::<_, Option<i64>>(6).is_none() {
                    differing.insert(id);
                }
            }
        }
    }
    Ok(differing.into_iter().chain(reworded).map(|id| format!("search {id}")).collect())
}
