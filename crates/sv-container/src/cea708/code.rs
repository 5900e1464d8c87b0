//! The codes of a service (CTA-708, 7 and 8.10): what they are, and how long.

/// What is done to several windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Clear,
    Display,
    Hide,
    Toggle,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// One that changes nothing that we keep.
    Nothing,
    Put(char),
    /// The sign for closed captions, which Unicode doesn't have.
    Icon,
    Back,
    /// Form feed: the current window is emptied.
    Empty,
    NewLine,
    /// Horizontal carriage return: the row is emptied.
    EmptyRow,
    Current(u8),
    Windows(Act, u8),
    Delay(u8),
    Undelay,
    Reset,
    Pen {
        row: u8,
        column: u8,
    },
    Attributes([u8; 4]),
    Define(u8, [u8; 6]),
}

/// The next code, taken from the front; nothing where it isn't whole.
pub(super) fn next(bytes: &mut &[u8]) -> Option<Code> {
    let code = match take(bytes)? {
        [0x08] => Code::Back,
        [0x0C] => Code::Empty,
        [0x0D] => Code::NewLine,
        [0x0E] => Code::EmptyRow,
        [0x10] => extended(bytes)?,
        [0x11..=0x17] => skip::<1>(bytes)?,
        [0x18] => {
            // Which character set that is, nobody says; all who have read it took it for Unicode's first plane.
            let character = char::from_u32(u32::from(u16::from_be_bytes(take(bytes)?)));
            Code::Put(character.filter(|character| !character.is_control()).unwrap_or('_'))
        }
        [0x19..=0x1F] => skip::<2>(bytes)?,
        [0x00..=0x0F] => Code::Nothing,
        [0x7F] => Code::Put('♪'),
        [number @ 0x80..=0x87] => Code::Current(number & 7),
        [0x88] => Code::Windows(Act::Clear, one(bytes)?),
        [0x89] => Code::Windows(Act::Display, one(bytes)?),
        [0x8A] => Code::Windows(Act::Hide, one(bytes)?),
        [0x8B] => Code::Windows(Act::Toggle, one(bytes)?),
        [0x8C] => Code::Windows(Act::Delete, one(bytes)?),
        [0x8D] => Code::Delay(one(bytes)?),
        [0x8E] => Code::Undelay,
        [0x8F] => Code::Reset,
        [0x90] => skip::<2>(bytes)?,
        [0x91] => skip::<3>(bytes)?,
        [0x92] => {
            let [row, column] = take(bytes)?;
            Code::Pen { row: row & 15, column: column & 63 }
        }
        [0x93..=0x96] => Code::Nothing,
        [0x97] => Code::Attributes(take(bytes)?),
        [number @ 0x98..=0x9F] => Code::Define(number & 7, take(bytes)?),
        // ASCII, and Latin 1.
        [character] => Code::Put(char::from(character)),
    };
    Some(code)
}

/// Behind `EXT1` stand another sixteen columns of codes, most of them for later use: how long they are is known.
fn extended(bytes: &mut &[u8]) -> Option<Code> {
    match take(bytes)? {
        [0x00..=0x07] => Some(Code::Nothing),
        [0x08..=0x0F] => skip::<1>(bytes),
        [0x10..=0x17] => skip::<2>(bytes),
        [0x18..=0x1F] => skip::<3>(bytes),
        [0x80..=0x87] => skip::<4>(bytes),
        [0x88..=0x8F] => skip::<5>(bytes),
        [0x90..=0x9F] => {
            let length = usize::from(one(bytes)? & 0x1F);
            *bytes = bytes.get(length..)?;
            Some(Code::Nothing)
        }
        [0xA0] => Some(Code::Icon),
        [character] => Some(Code::Put(supplementary(character))),
    }
}

/// `G2`: what isn't in it yet is shown as an underline, as everything of `G3` but the one sign in it.
fn supplementary(code: u8) -> char {
    match code {
        0x20 => ' ',
        0x21 => '\u{A0}',
        0x25 => '…',
        0x2A => 'Š',
        0x2C => 'Œ',
        0x30 => '█',
        0x31 => '‘',
        0x32 => '’',
        0x33 => '“',
        0x34 => '”',
        0x35 => '•',
        0x39 => '™',
        0x3A => 'š',
        0x3C => 'œ',
        0x3D => '℠',
        0x3F => 'Ÿ',
        0x76 => '⅛',
        0x77 => '⅜',
        0x78 => '⅝',
        0x79 => '⅞',
        0x7A => '│',
        0x7B => '┐',
        0x7C => '└',
        0x7D => '─',
        0x7E => '┘',
        0x7F => '┌',
        _ => '_',
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn one(bytes: &mut &[u8]) -> Option<u8> {
    take::<1>(bytes).map(|[byte]| byte)
}

fn skip<const N: usize>(bytes: &mut &[u8]) -> Option<Code> {
    take::<N>(bytes).map(|_| Code::Nothing)
}
