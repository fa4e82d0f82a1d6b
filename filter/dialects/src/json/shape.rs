//! What a caller wants to hear of, as static trees.

/// What is wanted of the value at one place of a document.
///
/// Shapes are `static` and may refer to themselves, for content that nests in content.
#[derive(Debug)]
pub struct Shape<T: 'static> {
    pub(super) tag: T,
    pub(super) want: Want,
    pub(super) members: &'static [Member<T>],
    pub(super) keys: Keys,
    pub(super) items: Option<&'static Shape<T>>,
    pub(super) others: Option<Others<T>>,
    /// Bit n is set if a member's name has n bytes: most keys are told from all of them by it.
    pub(super) lengths: u64,
}

/// Says what is wanted of a member that a shape does not name, from its decoded key.
pub type Others<T> = fn(&[u8]) -> Option<&'static Shape<T>>;

/// A wanted member of an object.
#[derive(Debug)]
pub struct Member<T: 'static> {
    pub(super) name: &'static str,
    /// Another spelling of the same key; empty if there is none.
    pub(super) alias: &'static str,
    pub(super) shape: &'static Shape<T>,
    mark: Mark,
    alias_mark: Mark,
}

/// Names a member of an object.
pub const fn key<T>(name: &'static str, shape: &'static Shape<T>) -> Member<T> {
    Member {
        name,
        alias: "",
        shape,
        mark: Mark::of(name.as_bytes()),
        alias_mark: Mark::NONE,
    }
}

impl<T> Member<T> {
    /// Adds another spelling of the same key: Gemini takes `maxOutputTokens` and `max_output_tokens`.
    #[must_use]
    pub const fn or(mut self, alias: &'static str) -> Self {
        self.alias = alias;
        self.alias_mark = Mark::of(alias.as_bytes());
        self
    }

    /// Returns the spelling that is equal to `key`, whose mark is given.
    #[inline]
    pub(super) fn spelling(&self, key: &[u8], mark: Mark) -> Option<&'static str> {
        if self.mark == mark && mark.tells(self.name, key) {
            Some(self.name)
        } else if self.alias_mark == mark && mark.tells(self.alias, key) {
            Some(self.alias)
        } else {
            None
        }
    }
}

/// The length and the first bytes of a name: they tell names apart without a call, and short ones altogether.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl Mark {
    /// Of no name.
    const NONE: Self = Self(u64::MAX);

    /// First bytes that a mark holds; its last one is the length.
    const BYTES: usize = 7;

    pub(super) const fn of(name: &[u8]) -> Self {
        let (mut word, mut shift) = (0, 0);
        let mut rest = name;
        while let ([first, after @ ..], true) = (rest, shift < u64::BITS) {
            word |= (*first as u64) << shift;
            shift += u8::BITS;
            rest = after;
        }
        Self::begun(word, name.len())
    }

    /// The mark of a name of this length that begins with the bytes of `word`, from the lowest on, as far as it goes.
    #[inline]
    pub(super) const fn begun(word: u64, length: usize) -> Self {
        let held = if length < Self::BYTES {
            length
        } else {
            Self::BYTES
        };
        let first = word & (u64::MAX >> 8 >> ((Self::BYTES - held) * 8));
        let length = if length < 0xFE { length as u64 } else { 0xFE };
        Self(first | length << 56)
    }

    /// Whether `name` is `key`, both of this mark.
    #[inline]
    fn tells(self, name: &str, key: &[u8]) -> bool {
        key.len() <= Self::BYTES || name.as_bytes() == key
    }
}

/// What a walker does with a string that stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Reports that a string stood there, without its text.
    Presence,
    /// Hands over the decoded text, at most [`CAPTURE_BYTES`](super::CAPTURE_BYTES) of it.
    Capture,
    /// Hands over the decoded text in pieces as they come, without bound.
    Pieces,
}

/// How an object's own keys are read where a shape names some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A key counts when its decoded text is equal; the last of several wins, as in most parsers.
    Found,
    /// A named key that is repeated, escaped or spelt in another case is an error: two parsers may
    /// disagree about what it means.
    Judged,
}

impl<T: 'static> Shape<T> {
    /// Describes a place where a scalar is wanted.
    pub const fn scalar(tag: T, want: Want) -> Self {
        Self {
            tag,
            want,
            members: &[],
            keys: Keys::Found,
            items: None,
            others: None,
            lengths: 0,
        }
    }

    /// Describes an object and the members of it that are wanted.
    pub const fn object(tag: T, members: &'static [Member<T>]) -> Self {
        Self {
            tag,
            want: Want::Presence,
            members,
            keys: Keys::Found,
            items: None,
            others: None,
            lengths: lengths(members),
        }
    }

    /// Describes an array and what is wanted of each item.
    pub const fn array(tag: T, items: &'static Self) -> Self {
        Self {
            tag,
            want: Want::Presence,
            members: &[],
            keys: Keys::Found,
            items: Some(items),
            others: None,
            lengths: 0,
        }
    }

    /// Returns what the shape calls its place.
    pub const fn tag(&self) -> T
    where
        T: Copy,
    {
        self.tag
    }

    /// Judges the keys of the object instead of only finding them; at most 64 members.
    #[must_use]
    pub const fn judged(mut self) -> Self {
        self.keys = Keys::Judged;
        self
    }

    /// Says what is wanted of members that are not named: a rule in place of a list.
    ///
    /// Such keys are not judged: the rule sees them decoded, and has to take every spelling for what it may mean.
    #[must_use]
    pub const fn others(mut self, others: Others<T>) -> Self {
        self.others = Some(others);
        self
    }

    /// Says what is wanted of a string, where a place may hold a container or a string.
    #[must_use]
    pub const fn or_text(mut self, want: Want) -> Self {
        self.want = want;
        self
    }

    /// Says what is wanted of each item, where a place may hold an object or an array.
    #[must_use]
    pub const fn or_items(mut self, items: &'static Self) -> Self {
        self.items = Some(items);
        self
    }
}

/// Returns which lengths the names of `members` have; at most 63 bytes each.
const fn lengths<T>(members: &[Member<T>]) -> u64 {
    let mut lengths = 0;
    let mut rest = members;
    while let [member, after @ ..] = rest {
        lengths |= length_bit(member.name.len()) | length_bit(member.alias.len());
        rest = after;
    }
    lengths
}

/// Returns the bit that stands for a length; all that are too long for one share the last.
pub(super) const fn length_bit(length: usize) -> u64 {
    1 << if length < 63 { length } else { 63 }
}
