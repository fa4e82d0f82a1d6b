//! Streams, judged while they pass.

use std::collections::BTreeMap;

use dialects::content::Media;
use dialects::stream::{Channel, ChannelId, Edit, Judge, Ruling, WholeRuling};
use policy::guardrail::{OnError, TextRole};

use super::channel::{Bench, ChannelScan, judge_whole};
use super::outcome::Why;
use super::verdict::{Cause, Judgement};

/// Judges the texts of one stream.
#[derive(Debug)]
pub(crate) struct StreamJudge<'a> {
    pub bench: Bench<'a>,
    pub judgement: &'a mut Judgement,
    pub channels: &'a mut BTreeMap<ChannelId, ChannelScan>,
}

impl StreamJudge<'_> {
    /// Counts what nobody could read.
    pub(crate) fn unscanned(&mut self, media: Media) {
        let Bench {
            guard, selection, ..
        } = self.bench;
        self.judgement.unscanned(guard, selection, media);
    }
}

impl Judge for StreamJudge<'_> {
    fn text(&mut self, channel: &Channel, piece: &str, ends: bool) -> Ruling {
        let bench = self.bench;
        let scan = self.channels.entry(channel.id).or_insert_with(|| {
            ChannelScan::new(bench, channel.role, channel.may_change, channel.path())
        });
        let passage = scan.push(bench, self.judgement, piece.as_bytes(), ends);
        if ends {
            self.channels.remove(&channel.id);
        }
        let edits = passage.edits.into_iter();
        Ruling {
            passes_to: passage.passes_to,
            edits: edits
                .map(|(start, end, with)| Edit { start, end, with })
                .collect(),
            stop: self.judgement.stop.is_some(),
        }
    }

    fn whole(&mut self, role: TextRole, label: &str, text: &str, may_change: bool) -> WholeRuling {
        let edits = judge_whole(
            self.bench,
            self.judgement,
            role,
            may_change,
            label,
            text.as_bytes(),
        );
        let edits = edits.into_iter();
        WholeRuling {
            edits: edits
                .map(|(start, end, with)| Edit { start, end, with })
                .collect(),
            stop: self.judgement.stop.is_some(),
        }
    }

    fn overflow(&mut self) -> bool {
        let Bench {
            guard, selection, ..
        } = self.bench;
        self.judgement
            .not_scanned(guard, selection, Why::TooLong, 1);
        self.judgement.stop_if(
            guard,
            selection,
            Cause {
                rule: "too-long",
                description: "more of the answer would have to be held back than can be",
                role: TextRole::Assistant,
            },
            |rules| rules.on_error == OnError::Block,
        );
        self.judgement.stop.is_some()
    }
}
