//! The commits of one selection as its followers get them.
//!
//! A follower keeps its place only and takes page after page of what is behind it. All get the same pages, so a page is made
//! once, and what a follower costs does not grow with what it has not read: the pages go with the commits that memory
//! forgets, and a follower whose place is gone with them is too slow.
//!
//! Followers are woken together. The first commit after a pause is handed out at once. What follows closely is
//! collected for a time that grows with the number of followers, so that many of them cost a write for each page, not
//! for each commit.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::{Held, MemoryShare, Position, Recorded, StreamId, Workspace};
use capstan_eventlog::Selection;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::page::{PAGE_BYTES, Page, wire_bytes};
use crate::recent::{Recent, is_all_behind};
use crate::{Cursor, Run};

/// Followers that are woken for one millisecond of collecting.
const FOLLOWERS_PER_MS: u64 = 10;
/// Longest time for which commits are collected.
const COLLECTED_MAX: Duration = Duration::from_millis(20);
/// Forms in which a page may be held: server-sent events, with which its frames share their data, and WebSocket messages.
const FORMS: usize = 2;

/// A follower is behind what is kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooSlow;

/// The commits of one selection, as long as somebody follows it, and then until memory has forgotten what was followed.
#[derive(Debug)]
pub(crate) struct Feed {
    selection: Selection,
    /// Every commit behind this position is in a page, or open.
    from: Position,
    pages: VecDeque<Arc<Page>>,
    /// Commits that belong to no page yet.
    open: Vec<Arc<Recorded>>,
    open_bytes: usize,
    /// Bytes that the forms of all its commits take, at most.
    held: Held,
    followers: u64,
    /// End of the log when the last follower left.
    left_at: Position,
    /// Last time the followers were woken.
    woken_at: Option<Instant>,
    /// True when there are commits that no follower was woken for.
    has_news: bool,
    /// True when the followers are to be woken later.
    is_due: bool,
    news: watch::Sender<()>,
}

impl Feed {
    fn new(selection: Selection, from: Position, held: Held) -> Self {
        Self {
            selection,
            from,
            pages: VecDeque::new(),
            open: Vec::new(),
            open_bytes: 0,
            held,
            followers: 0,
            left_at: from,
            woken_at: None,
            has_news: false,
            is_due: false,
            news: watch::Sender::new(()),
        }
    }

    /// The first frames behind `cursor`; `None` when there are none yet.
    pub(crate) fn after(&self, cursor: Cursor) -> Result<Option<Run>, TooSlow> {
        if !is_all_behind(self.from, cursor) {
            return Err(TooSlow);
        }
        let is_seen = |page: &Arc<Page>| page.last().is_some_and(|last| cursor.seen_of(last).is_none());
        let page = self.pages.get(self.pages.partition_point(is_seen));
        Ok(page.map(|page| page.after(cursor)))
    }

    fn push(&mut self, recorded: &Arc<Recorded>) {
        let bytes = wire_bytes(recorded);
        self.held.add(bytes * FORMS);
        self.open.push(Arc::clone(recorded));
        self.open_bytes += bytes;
        self.has_news = true;
        if self.open_bytes >= PAGE_BYTES {
            self.close_page();
        }
    }

    /// Makes a page of the open commits.
    fn close_page(&mut self) {
        if !self.open.is_empty() {
            self.pages.push_back(Arc::new(Page::new(std::mem::take(&mut self.open))));
            self.open_bytes = 0;
        }
    }

    /// Wakes the followers for what has come, or answers when that is to happen.
    fn settle(&mut self, now: Instant) -> Option<Instant> {
        if !self.has_news || self.is_due || self.followers == 0 {
            return None;
        }
        let collected = Duration::from_millis(self.followers / FOLLOWERS_PER_MS).min(COLLECTED_MAX);
        let due = self.woken_at.map_or(now, |woken_at| woken_at + collected);
        if due <= now {
            self.wake(now);
            return None;
        }
        self.is_due = true;
        Some(due)
    }

    /// Wakes the followers for what has come.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.close_page();
        (self.woken_at, self.has_news, self.is_due) = (Some(now), false, false);
        self.news.send_replace(());
    }

    /// Puts what memory still holds behind `cursor` in front.
    fn reach_back(&mut self, cursor: Cursor, recent: &Recent) {
        if is_all_behind(self.from, cursor) {
            return;
        }
        let (before, commits) = recent.after(cursor);
        let is_missing = |recorded: &&Arc<Recorded>| self.from.reaches(recorded.position);
        let missing = commits.take_while(is_missing);
        let selected = missing.filter(|recorded| self.selection.takes(&recorded.commit.stream)).cloned();
        let pages = Page::split(selected);
        self.from = before;
        for page in pages.into_iter().rev() {
            self.held.add(page.wire_bytes() * FORMS);
            self.pages.push_front(Arc::new(page));
        }
    }

    /// Drops the pages that end at this position or before. Open commits stay for those who follow, who were not woken for
    /// them yet.
    fn forget(&mut self, position: Position) {
        if self.followers == 0 {
            self.close_page();
        }
        while let Some(page) = self.pages.front()
            && let Some(last) = page.last().filter(|last| position.reaches(*last))
        {
            self.from = last;
            self.held.remove(page.wire_bytes() * FORMS);
            self.pages.pop_front();
        }
    }

    /// True when nobody follows, and nothing is left of the time when somebody did.
    fn is_over(&self) -> bool {
        let is_empty = self.pages.is_empty() && self.open.is_empty();
        self.followers == 0 && (is_empty || self.from.reaches(self.left_at))
    }
}

/// The feeds of all selections that are followed.
#[derive(Debug)]
pub(crate) struct Feeds {
    of_all: Option<Feed>,
    of_workspace: HashMap<Workspace, Feed>,
    of_stream: HashMap<StreamId, Feed>,
    share: MemoryShare,
}

impl Feeds {
    /// No feeds; the bytes of those to come are of this share.
    pub(crate) fn new(share: MemoryShare) -> Self {
        Self { of_all: None, of_workspace: HashMap::new(), of_stream: HashMap::new(), share }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.share.clone());
    }

    pub(crate) fn get(&mut self, selection: &Selection) -> Option<&mut Feed> {
        match selection {
            Selection::All => self.of_all.as_mut(),
            Selection::Workspace(workspace) => self.of_workspace.get_mut(workspace),
            Selection::Stream(stream) => self.of_stream.get_mut(stream),
        }
    }

    /// The feeds that take commits of this stream.
    fn of(&mut self, stream: &StreamId) -> impl Iterator<Item = &mut Feed> {
        let of_workspace = self.of_workspace.get_mut(stream.workspace());
        self.of_all.iter_mut().chain(of_workspace).chain(self.of_stream.get_mut(stream))
    }

    /// Adds a follower of what is behind `cursor`, which memory reaches. What has come so far is in pages of its own.
    pub(crate) fn join(
        &mut self,
        selection: &Selection,
        cursor: Cursor,
        recent: &Recent,
    ) -> watch::Receiver<()> {
        let new = || Feed::new(selection.clone(), recent.head(), self.share.hold(0));
        let feed = match selection {
            Selection::All => self.of_all.get_or_insert_with(new),
            Selection::Workspace(workspace) => self.of_workspace.entry(workspace.clone()).or_insert_with(new),
            Selection::Stream(stream) => self.of_stream.entry(stream.clone()).or_insert_with(new),
        };
        feed.close_page();
        feed.reach_back(cursor, recent);
        feed.followers += 1;
        feed.news.subscribe()
    }

    pub(crate) fn leave(&mut self, selection: &Selection, head: Position) {
        if let Some(feed) = self.get(selection) {
            feed.followers -= 1;
            feed.left_at = head;
        }
        self.remove_if_over(selection);
    }

    fn remove_if_over(&mut self, selection: &Selection) {
        if !self.get(selection).is_some_and(|feed| feed.is_over()) {
            return;
        }
        match selection {
            Selection::All => self.of_all = None,
            Selection::Workspace(workspace) => drop(self.of_workspace.remove(workspace)),
            Selection::Stream(stream) => drop(self.of_stream.remove(stream)),
        }
    }

    /// Adds a commit to the feeds that take it.
    pub(crate) fn push(&mut self, recorded: &Arc<Recorded>) {
        self.of(&recorded.commit.stream).for_each(|feed| feed.push(recorded));
    }

    /// Drops the pages that end with this commit or before.
    pub(crate) fn forget(&mut self, recorded: &Recorded) {
        let mut over = Vec::new();
        for feed in self.of(&recorded.commit.stream) {
            feed.forget(recorded.position);
            if feed.is_over() {
                over.push(feed.selection.clone());
            }
        }
        for selection in over {
            self.remove_if_over(&selection);
        }
    }

    /// Wakes the followers of these commits; the selections whose followers are to be woken later, and when.
    pub(crate) fn settle(&mut self, commits: &[Arc<Recorded>], now: Instant) -> Vec<(Selection, Instant)> {
        let mut later = Vec::new();
        for recorded in commits {
            for feed in self.of(&recorded.commit.stream) {
                if let Some(due) = feed.settle(now) {
                    later.push((feed.selection.clone(), due));
                }
            }
        }
        later
    }
}

#[cfg(test)]
mod tests {
    use capstan_envelope::{Actor, Commit, CommitHash, CommitId, EventRecord, Metadata};
    use uuid::Uuid;

    use super::*;

    fn selection() -> Selection {
        Selection::Workspace(Workspace::new("dev").unwrap())
    }

    fn commit(number: u64, bytes: usize) -> Arc<Recorded> {
        let data = serde_json::value::to_raw_value(&"x".repeat(bytes)).unwrap();
        let now = chrono::DateTime::UNIX_EPOCH;
        Arc::new(Recorded {
            position: Position::new(number, CommitHash::default()),
            recorded_at: now,
            hash: CommitHash::default(),
            commit: Commit {
                commit_id: CommitId(Uuid::from_u128(number.into())),
                stream: StreamId::new(Workspace::new("dev").unwrap(), "task", "t").unwrap(),
                version: number,
                previous: Position::START,
                previous_hash: CommitHash::default(),
                metadata: Metadata::new("test", Actor::Engine, Uuid::nil(), now),
                events: vec![EventRecord { name: "from-the-future".to_owned(), version: 99, data }],
            },
        })
    }

    /// A window with feeds, as the hub keeps them.
    struct Live {
        recent: Recent,
        feeds: Feeds,
        cursor: Cursor,
    }

    impl Live {
        fn new(bytes_max: usize) -> Self {
            let share = MemoryShare::new(bytes_max);
            let recent = Recent::new(Position::START, 1_000, share.hold(0));
            Self { recent, feeds: Feeds::new(share), cursor: Cursor::after(Position::START) }
        }

        fn join(&mut self, followers: usize) -> Vec<watch::Receiver<()>> {
            (0..followers).map(|_| self.feeds.join(&selection(), self.cursor, &self.recent)).collect()
        }

        fn publish(&mut self, recorded: Arc<Recorded>, now: Instant) -> Option<Instant> {
            self.feeds.push(&recorded);
            self.recent.push(Arc::clone(&recorded));
            while let Some(oldest) = self.recent.forget_oldest() {
                self.feeds.forget(&oldest);
            }
            self.feeds.settle(&[recorded], now).pop().map(|(_, due)| due)
        }

        fn frames_after(&mut self, cursor: Cursor) -> Result<usize, TooSlow> {
            let feed = self.feeds.get(&selection()).unwrap();
            Ok(feed.after(cursor)?.map_or(0, |run| run.frames().len()))
        }
    }

    fn woken(followers: &mut [watch::Receiver<()>]) -> usize {
        let mut count = 0;
        for follower in followers {
            count += usize::from(follower.has_changed().unwrap());
            follower.mark_unchanged();
        }
        count
    }

    #[test]
    fn many_followers_are_woken_once_for_what_comes_close_together() {
        let mut live = Live::new(1 << 20);
        let mut followers = live.join(100);
        let begin = Instant::now();
        let collected = Duration::from_millis(10);
        assert_eq!(live.publish(commit(1, 10), begin), None);
        assert_eq!(woken(&mut followers), 100, "the first one is handed out at once");
        let soon = begin + Duration::from_millis(1);
        assert_eq!(live.publish(commit(2, 10), soon), Some(begin + collected));
        for number in 3..50 {
            assert_eq!(live.publish(commit(number, 10), soon), None);
        }
        assert_eq!(woken(&mut followers), 0);
        let first = Cursor::after(Position::new(1, CommitHash::default()));
        assert_eq!(live.frames_after(first), Ok(0));
        live.feeds.get(&selection()).unwrap().wake(begin + collected);
        assert_eq!(woken(&mut followers), 100);
        assert_eq!(live.frames_after(first), Ok(48), "they come in one page");
        assert_eq!(live.publish(commit(50, 10), begin + 2 * collected), None);
        assert_eq!(woken(&mut followers), 100, "after a pause nothing is collected");
    }

    #[test]
    fn few_followers_are_woken_for_every_commit() {
        let mut live = Live::new(1 << 20);
        let mut followers = live.join(9);
        let now = Instant::now();
        for number in 1..10 {
            assert_eq!(live.publish(commit(number, 10), now), None);
            assert_eq!(woken(&mut followers), 9);
        }
    }

    #[test]
    fn a_page_is_bounded_and_a_follower_behind_what_is_kept_is_too_slow() {
        let mut live = Live::new(4 * PAGE_BYTES);
        let followers = live.join(1);
        let now = Instant::now();
        for number in 1..=40 {
            live.publish(commit(number, PAGE_BYTES / 4), now);
            assert!(!live.feeds.share.is_exceeded());
        }
        assert_eq!(live.frames_after(live.cursor), Err(TooSlow));
        let near = Cursor::after(Position::new(39, CommitHash::default()));
        assert_eq!(live.frames_after(near), Ok(1));
        drop(followers);
    }

    #[test]
    fn what_was_followed_stays_until_memory_forgets_it() {
        let mut live = Live::new(1 << 20);
        let followers = live.join(20);
        let now = Instant::now();
        live.publish(commit(1, 10), now);
        let page = live.feeds.get(&selection()).unwrap().pages[0].clone();
        assert!(live.publish(commit(2, 10), now).is_some(), "it is still open when all leave");
        let head = live.recent.head();
        for _ in &followers {
            live.feeds.leave(&selection(), head);
        }
        let again = live.join(1);
        assert!(Arc::ptr_eq(&page, &live.feeds.get(&selection()).unwrap().pages[0]));
        live.feeds.leave(&selection(), head);
        live.publish(commit(3, 10), now);
        live.recent.restart(head);
        live.feeds.forget(&commit(1, 10));
        assert!(live.feeds.get(&selection()).is_some());
        live.feeds.forget(&commit(2, 10));
        assert!(live.feeds.get(&selection()).is_none());
        assert_eq!(live.feeds.share.held(), 0);
        drop((followers, again));
    }

    #[test]
    fn commits_that_nobody_was_woken_for_go_with_the_last_follower() {
        let mut live = Live::new(1 << 20);
        let followers = live.join(20);
        let now = Instant::now();
        live.publish(commit(1, 10), now);
        live.publish(commit(2, 10), now);
        let head = live.recent.head();
        for _ in &followers {
            live.feeds.leave(&selection(), head);
        }
        live.recent.restart(head);
        live.feeds.forget(&commit(1, 10));
        assert!(live.feeds.share.held() > 0);
        live.feeds.forget(&commit(2, 10));
        assert_eq!(live.feeds.share.held(), 0);
        drop(followers);
    }
}
