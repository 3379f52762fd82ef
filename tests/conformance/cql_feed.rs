//! The feed of the distributed store: what a page reads, and what is damaged in it.

use switchboard::storage::{Feed, FeedPage, FeedPeriod, FeedPoint, FeedShard};

use crate::cql::with_rig;
use crate::samples::chat;
use crate::suite_feed::period;

/// More hours than a page visits, and fewer than three do.
const HOURS: u64 = 100;

#[test]
fn cql_a_page_of_the_feed_visits_so_many_hours_and_goes_on_behind_them() {
    with_rig(async |rig| {
        for hour in 1..=HOURS {
            Feed::touch(&*rig.store, chat(0), period(1, hour)).await.unwrap();
        }
        Feed::touch(&*rig.store, chat(1), period(1, HOURS)).await.unwrap();
        let (mut from, mut pages) = (Some(FeedPoint::begin(FeedPeriod::FIRST)), Vec::new());
        while let Some(point) = from {
            let page = Feed::changed(&*rig.store, FeedShard::of(chat(1)), point, 9).await.unwrap();
            from = page.next;
            pages.push(page);
        }
        let found: Vec<usize> = pages.iter().map(|page| page.touched.len()).collect();
        assert_eq!(found, [0, 0, 1], "three pages, of which two are empty");
        assert_eq!(pages[0].next, Some(FeedPoint::begin(period(1, 49))));
    });
}

#[test]
fn cql_a_touch_that_names_no_chat_is_passed_over() {
    with_rig(async |rig| {
        let chats = [0, 1, 2].map(|n| chat(n << 8));
        for chat in chats {
            Feed::touch(&*rig.store, chat, period(1, 5)).await.unwrap();
        }
        let shard = FeedShard::of(chats[0]);
        let text = "INSERT INTO feed (shard, process, hour, chat) VALUES (?, 1, 5, ?)";
        for key in [vec![0_u8], vec![7; 17], vec![0; 15]] {
            rig.raw.query_unpaged(text, (i16::from(shard.number()), key)).await.unwrap();
        }
        for limit in 1..6 {
            let (mut from, mut found) = (Some(FeedPoint::begin(FeedPeriod::FIRST)), Vec::new());
            while let Some(point) = from {
                let FeedPage { touched, next } =
                    Feed::changed(&*rig.store, shard, point, limit).await.unwrap();
                found.extend(touched.iter().map(|touched| touched.chat));
                from = next;
            }
            assert_eq!(found, chats, "{limit} a page");
        }
    });
}
