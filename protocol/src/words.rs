//! Four words for people to compare: a digest shown as everyday nouns on two screens.
//!
//! Owns the word list and how a digest picks from it. Must not be used as a secret or as proof:
//! proof enrols a device, the words only let two people check afterwards that they look at the
//! same thing (32 bits, enough for two people talking to each other, not against a search).
//!
//! Invariants: 256 different words of two characters each; a word's place never changes, because
//! two releases must show the same phrase for the same digest. Rejected: hexadecimal, which
//! people compare badly; and English word lists, which the people here do not read aloud.

/// The words of `digest`: one for each of its first four bytes.
#[must_use]
pub fn phrase(digest: &[u8; 32]) -> [&'static str; 4] {
    let [a, b, c, d, ..] = *digest;
    [a, b, c, d].map(word)
}

/// Nature and things of everyday life: nothing political, religious or bodily. The place of a word
/// is the byte it stands for.
#[rustfmt::skip]
pub const WORDS: [&str; 256] = [
    // plants
    "山茶", "荷叶", "竹林", "松果", "柳絮", "梧桐", "银杏", "枫叶",
    "桂花", "茉莉", "牡丹", "兰草", "芦苇", "浮萍", "青苔", "蘑菇",
    "稻穗", "麦田", "高粱", "玉米", "花生", "黄豆", "芝麻", "棉桃",
    "苹果", "雪梨", "葡萄", "石榴", "樱桃", "柿子", "枇杷", "橘子",
    "西瓜", "草莓", "菠萝", "核桃", "板栗", "红枣", "莲藕", "萝卜",
    "白菜", "南瓜", "冬瓜", "茄子", "辣椒", "番茄", "芹菜", "土豆",
    // animals
    "喜鹊", "燕子", "麻雀", "白鹭", "海鸥", "孔雀", "天鹅", "画眉",
    "蜻蜓", "蝴蝶", "蜜蜂", "蚂蚁", "蟋蟀", "蜗牛", "青蛙", "鲤鱼",
    "海豚", "螃蟹", "贝壳", "珊瑚", "松鼠", "刺猬", "骆驼", "山羊",
    "熊猫", "小鹿", "骏马", "水牛", "白兔", "花猫", "大雁", "鲸鱼",
    // land and water
    "渡口", "海岸", "港湾", "岛屿", "沙滩", "礁石", "潮汐", "波浪",
    "江心", "溪流", "瀑布", "湖泊", "池塘", "泉眼", "冰川", "峡谷",
    "高原", "草地", "丘陵", "山峰", "岩洞", "沙漠", "绿洲", "田野",
    "果园", "菜畦", "树荫", "森林", "小径", "石桥", "水车", "风车",
    // sky, weather, seasons
    "早春", "盛夏", "深秋", "寒冬", "清晨", "正午", "黄昏", "星空",
    "月光", "云朵", "彩虹", "微风", "细雨", "雷声", "闪电", "霜花",
    "雪片", "露珠", "雾气", "冰柱", "晚霞", "银河", "流星", "日历",
    // music
    "铜铃", "竹笛", "古琴", "琵琶", "二胡", "锣鼓", "唢呐", "钢琴",
    "风筝", "陀螺", "棋盘", "秋千", "皮球", "毽子", "积木", "剪纸",
    // kitchen and table
    "茶壶", "瓷碗", "竹筷", "汤勺", "砂锅", "蒸笼", "案板", "水缸",
    "米袋", "油瓶", "盐罐", "豆腐", "馒头", "饺子", "面条", "粽子",
    "月饼", "汤圆", "豆浆", "酸奶", "蜂蜜", "冰糖", "茶叶", "果酱",
    // house and clothes
    "木门", "窗帘", "台阶", "屋檐", "烟囱", "篱笆", "阳台", "走廊",
    "桌布", "板凳", "书架", "衣柜", "枕头", "棉被", "草席", "蜡烛",
    "台灯", "挂钟", "镜子", "梳子", "毛巾", "肥皂", "雨伞", "斗笠",
    "围巾", "手套", "布鞋", "帽子", "纽扣", "针线", "丝绸", "毛衣",
    // writing and tools
    "毛笔", "墨砚", "宣纸", "信封", "邮票", "铅笔", "橡皮", "尺子",
    "算盘", "地图", "相册", "书签", "剪刀", "锤子", "钉子", "锯条",
    "梯子", "扁担", "竹篮", "麻绳", "水桶", "扫帚", "锄头", "镰刀",
    "水井", "磨盘", "钥匙", "铁锁", "罗盘", "船桨", "缆绳", "沙漏",
    "花瓶", "屏风", "灯笼", "折扇", "香囊", "蓑衣", "皮箱", "拱门",
    // ways and vehicles
    "帆船", "木筏", "火车", "单车", "马车", "路灯", "隧道", "站台",
];

fn word(byte: u8) -> &'static str {
    // Every byte has its word: the list has 256.
    WORDS.get(usize::from(byte)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_words_are_256_different_pairs_of_characters() {
        let distinct: BTreeSet<_> = WORDS.iter().collect();
        assert_eq!(distinct.len(), 256);
        for word in WORDS {
            assert_eq!(word.chars().count(), 2, "{word}");
            assert!(
                word.chars().all(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)),
                "{word}"
            );
        }
    }

    #[test]
    fn a_phrase_is_read_from_the_first_four_bytes_in_order() {
        let mut digest = [0x55; 32];
        digest[..4].copy_from_slice(&[0, 255, 80, 0]);
        assert_eq!(phrase(&digest), ["山茶", "站台", "渡口", "山茶"]);
    }
}
