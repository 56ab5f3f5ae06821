//! Numbers given offline that are unique for ever: 登记编号 such as `YJ-SLJD-EM1A-2026-00042-71`.
//!
//! Owns the shape of a number and of the codes inside it, its check digits, and reading what
//! people type. Must not hand out counters: the counter is stored in the same transaction as the
//! record, which is the journal's business.
//!
//! Invariants: a [`Number`] and every code can only be made in its valid shape; printing and
//! parsing are inverse; a number names its device, so two devices never give the same one without
//! talking to each other.
//!
//! The check digits (ISO 7064 MOD 97-10) catch every wrong character and every swap of neighbours
//! as long as letters stay letters and digits stay digits. `1B` and `B1` both read 111, so the
//! parser also checks the shape of each group. Rejected: a number from the hub, which needs the
//! network at the moment of registration; and a random number, which cannot be read aloud.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text;

/// Letters that name a device within its site. I and O are left out: they read as 1 and 0.
pub const DEVICE_LETTERS: &[u8; 24] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";

/// The counter is printed with at least this many digits.
const COUNTER_DIGITS: usize = 5;

/// A number a resident holds: kind, sub-district, device, year, counter.
///
/// `Display` gives the printed form with check digits, [`Number::parse`] reads it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Number {
    kind: KindCode,
    district: DistrictCode,
    device: DeviceCode,
    year: u16,
    counter: u32,
}

impl Number {
    /// Puts a number together. `year` is the Beijing year of registration, `counter` counts from 1
    /// per (device, kind, year).
    ///
    /// # Errors
    /// [`NumberError::Year`] unless the year has four digits, [`NumberError::Counter`] for zero.
    pub fn new(
        kind: KindCode,
        district: DistrictCode,
        device: DeviceCode,
        year: u16,
        counter: u32,
    ) -> Result<Self, NumberError> {
        if !(1000..=9999).contains(&year) {
            return Err(NumberError::Year);
        }
        if counter == 0 {
            return Err(NumberError::Counter);
        }
        Ok(Self {
            kind,
            district,
            device,
            year,
            counter,
        })
    }

    /// Reads a number as people type it: case, spaces and hyphens do not matter, nor does the
    /// full-width form that an input method may produce.
    ///
    /// # Errors
    /// The first group that has the wrong shape, or [`NumberError::CheckDigits`] when all groups
    /// look right but do not belong together.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let typed = text::code(text);
        let (kind, rest) = typed
            .as_bytes()
            .split_first_chunk()
            .ok_or(NumberError::Length)?;
        let (district, rest) = rest.split_first_chunk().ok_or(NumberError::Length)?;
        let letters = if rest.get(4).is_some_and(u8::is_ascii_alphabetic) {
            5
        } else {
            4
        };
        let (device, rest) = rest.split_at_checked(letters).ok_or(NumberError::Length)?;
        let (year, rest) = rest.split_first_chunk::<4>().ok_or(NumberError::Length)?;
        let (counter, check) = rest.split_last_chunk::<2>().ok_or(NumberError::Length)?;
        if counter.len() < COUNTER_DIGITS {
            return Err(NumberError::Length);
        }

        // rule:number-shape
        let kind = KindCode::from_bytes(*kind)?;
        let district = DistrictCode::from_bytes(*district)?;
        let device = DeviceCode::from_bytes(device)?;
        let year = decimal(year).and_then(|year| u16::try_from(year).ok());
        let padded = counter.len() > COUNTER_DIGITS && counter.first() == Some(&b'0');
        let counter = decimal(counter)
            .filter(|_| !padded)
            .ok_or(NumberError::Counter)?;
        let number = Self::new(
            kind,
            district,
            device,
            year.ok_or(NumberError::Year)?,
            counter,
        )?;
        if decimal(check) == Some(number.check_digits()) {
            Ok(number)
        } else {
            Err(NumberError::CheckDigits)
        }
    }

    /// Which kind of record the number belongs to.
    #[must_use]
    pub fn kind(&self) -> KindCode {
        self.kind
    }

    /// The sub-district that gave the number.
    #[must_use]
    pub fn district(&self) -> DistrictCode {
        self.district
    }

    /// The device that gave the number.
    #[must_use]
    pub fn device(&self) -> DeviceCode {
        self.device
    }

    /// The Beijing year of registration, as the device's clock had it.
    #[must_use]
    pub fn year(&self) -> u16 {
        self.year
    }

    /// The count per (device, kind, year), from 1.
    #[must_use]
    pub fn counter(&self) -> u32 {
        self.counter
    }

    fn check_digits(&self) -> u32 {
        check_digits(&self.body())
    }

    fn body(&self) -> String {
        let Self {
            kind,
            district,
            device,
            year,
            counter,
        } = self;
        format!("{kind}-{district}-{device}-{year:04}-{counter:0COUNTER_DIGITS$}")
    }
}

/// The check digits behind a code of capital letters and digits, ISO 7064 MOD 97-10: `98 − (n·100 mod 97)`, always in 2..=98. A letter
/// counts as two digits, from A as 10 on; hyphens do not count.
#[must_use]
pub fn check_digits(code: &str) -> u32 {
    let n = code.bytes().fold(0, |n, byte| match byte {
        b'0'..=b'9' => (n * 10 + u32::from(byte - b'0')) % 97,
        b'A'..=b'Z' => (n * 100 + u32::from(byte - b'A') + 10) % 97,
        _ => n,
    });
    98 - n * 100 % 97
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}", self.body(), self.check_digits())
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Number {
    type Error = NumberError;

    fn try_from(text: String) -> Result<Self, NumberError> {
        Self::parse(&text)
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.to_string()
    }
}

/// Why a typed number or code was not understood. The messages are for the person who typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NumberError {
    /// Too few characters for all groups: something was left out.
    #[error("the number is incomplete: it has six groups, as in YJ-SLJD-EM1A-2026-00042-71")]
    Length,
    /// The first group is not two letters, or has an I or O.
    #[error("the kind code is two letters, never I or O, as in YJ")]
    Kind,
    /// The second group is not four letters.
    #[error("the sub-district code is four letters, as in SLJD")]
    District,
    /// A site code is two letters and a digit, or `HUB`.
    #[error("a site code is two letters and a digit, as in EM1, or HUB")]
    Site,
    /// The device group is not a site code and a device letter.
    #[error("a device code is a site code and one or two letters that are not I or O, as in EM1A")]
    Device,
    /// The year does not have four digits.
    #[error("the year has four digits")]
    Year,
    /// The counter is zero, not a number, too large, or padded beyond five digits.
    #[error("the count has five digits or more and starts at 00001")]
    Counter,
    /// All groups look right, but the last two digits do not fit them.
    #[error("the check digits do not fit: a character is wrong or two are swapped")]
    CheckDigits,
}

/// Two letters that name a numbered kind of record: `YJ` for residents' opinions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KindCode([u8; 2]);

/// Four letters that name the sub-district, given once per network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DistrictCode([u8; 4]);

/// A site's code: two letters and a digit (`EM1`), or `HUB`.
///
/// `HU` with a digit is not given to a site, so that one wrong character cannot turn the hub into
/// a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteCode([u8; 3]);

/// A device's code: its site and one of [`DEVICE_LETTERS`], or two from the site's 25th device on (`EM1A`, `HUBA`, `EM1AB`).
/// Behind it a number has its year, so that a letter there belongs to the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceCode {
    site: SiteCode,
    letter: u8,
    second: Option<u8>,
}

impl KindCode {
    fn from_bytes(bytes: [u8; 2]) -> Result<Self, NumberError> {
        let fits = bytes.iter().all(|byte| DEVICE_LETTERS.contains(byte));
        if fits {
            Ok(Self(bytes))
        } else {
            Err(NumberError::Kind)
        }
    }
}

impl DistrictCode {
    fn from_bytes(bytes: [u8; 4]) -> Result<Self, NumberError> {
        let fits = bytes.iter().all(u8::is_ascii_uppercase);
        if fits {
            Ok(Self(bytes))
        } else {
            Err(NumberError::District)
        }
    }
}

impl SiteCode {
    /// The hub's own site code.
    pub const HUB: Self = Self(*b"HUB");

    fn from_bytes(bytes: [u8; 3]) -> Result<Self, NumberError> {
        let [first, second, digit] = bytes;
        let letters = first.is_ascii_uppercase() && second.is_ascii_uppercase();
        let site = letters && digit.is_ascii_digit() && [first, second] != *b"HU";
        if site || bytes == Self::HUB.0 {
            Ok(Self(bytes))
        } else {
            Err(NumberError::Site)
        }
    }

    /// The next device code of this site: one letter, and from the 25th on two. `given` are all codes the hub ever gave,
    /// those of revoked devices included: a code is never given to two devices. `None` after the 600th.
    #[must_use]
    pub fn next_device(self, given: &BTreeSet<DeviceCode>) -> Option<DeviceCode> {
        let one = DEVICE_LETTERS.iter().map(|&letter| (letter, None));
        let two = DEVICE_LETTERS.iter().flat_map(|&letter| {
            let seconds = DEVICE_LETTERS.iter();
            seconds.map(move |&second| (letter, Some(second)))
        });
        one.chain(two)
            .map(|(letter, second)| DeviceCode {
                site: self,
                letter,
                second,
            })
            .find(|code| !given.contains(code))
    }
}

impl DeviceCode {
    fn from_bytes(bytes: &[u8]) -> Result<Self, NumberError> {
        let (letters, site) = match *bytes {
            [a, b, c, letter] => ((letter, None), [a, b, c]),
            [a, b, c, letter, second] => ((letter, Some(second)), [a, b, c]),
            _ => return Err(NumberError::Device),
        };
        let site = SiteCode::from_bytes(site).map_err(|_| NumberError::Device)?;
        let (letter, second) = letters;
        let mut both = std::iter::once(letter).chain(second);
        if both.all(|letter| DEVICE_LETTERS.contains(&letter)) {
            Ok(Self {
                site,
                letter,
                second,
            })
        } else {
            Err(NumberError::Device)
        }
    }

    /// The site the code was given for.
    #[must_use]
    pub fn site(self) -> SiteCode {
        self.site
    }

    /// The device's letters within its site, one or two of [`DEVICE_LETTERS`].
    #[must_use]
    pub fn letters(self) -> String {
        let both = std::iter::once(self.letter).chain(self.second);
        both.map(char::from).collect()
    }
}

impl fmt::Display for KindCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        letters(f, &self.0)
    }
}

impl fmt::Display for DistrictCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        letters(f, &self.0)
    }
}

impl fmt::Display for SiteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        letters(f, &self.0)
    }
}

impl fmt::Display for DeviceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.site, self.letters())
    }
}

/// The string forms that every code shares, so that a code in a file or a message is checked.
macro_rules! string_forms {
    ($($code:ident),+) => { $(
        impl TryFrom<String> for $code {
            type Error = NumberError;

            fn try_from(text: String) -> Result<Self, NumberError> {
                text.parse()
            }
        }

        impl From<$code> for String {
            fn from(code: $code) -> Self {
                code.to_string()
            }
        }
    )+ };
}

string_forms!(KindCode, DistrictCode, SiteCode, DeviceCode);

/// Codes of one length.
macro_rules! read_whole {
    ($($code:ident: $error:ident),+) => { $(
        impl FromStr for $code {
            type Err = NumberError;

            fn from_str(text: &str) -> Result<Self, NumberError> {
                let bytes = text::code(text).as_bytes().try_into().map_err(|_| NumberError::$error)?;
                Self::from_bytes(bytes)
            }
        }
    )+ };
}

read_whole!(KindCode: Kind, DistrictCode: District, SiteCode: Site);

impl FromStr for DeviceCode {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        Self::from_bytes(text::code(text).as_bytes())
    }
}

/// `None` for a character that is not a digit and for a value beyond `u32`.
fn decimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |n, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

fn letters(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes
        .iter()
        .try_for_each(|&byte| fmt::Write::write_char(f, char::from(byte)))
}

#[cfg(test)]
mod tests;
