//! The tables of the world's language: kinds, attributes with their values and phrasings, genres with their frames.
//!
//! Everything a document can say is listed here once; `render` fills it in and `read` matches it again.

/// A kind of concept: the parent that fixes which attributes make sense and how its documents speak.
pub(super) struct KindTable {
    pub(super) noun: &'static str,
    /// What a `count` of this kind counts.
    pub(super) unit: &'static str,
    /// Keys into [`ATTRIBUTES`], in the order in which the `attributes` knob takes them up.
    pub(super) attributes: [&'static str; 8],
}

pub(super) const KINDS: [KindTable; 8] = [
    KindTable {
        noun: "town",
        unit: "gates",
        attributes: ["region", "patron", "year", "emblem", "scent", "drink", "count", "tree"],
    },
    KindTable {
        noun: "river",
        unit: "bridges",
        attributes: ["region", "year", "tree", "sound", "belief", "month", "count", "scent"],
    },
    KindTable {
        noun: "lute",
        unit: "strings",
        attributes: ["region", "patron", "material", "sound", "year", "colour", "count", "belief"],
    },
    KindTable {
        noun: "festival",
        unit: "days",
        attributes: ["region", "month", "patron", "drink", "emblem", "belief", "count", "sound"],
    },
    KindTable {
        noun: "dish",
        unit: "layers",
        attributes: ["region", "patron", "scent", "drink", "colour", "month", "count", "belief"],
    },
    KindTable {
        noun: "bird",
        unit: "eggs",
        attributes: ["region", "colour", "sound", "tree", "month", "belief", "count", "year"],
    },
    KindTable {
        noun: "ship",
        unit: "masts",
        attributes: ["patron", "material", "year", "emblem", "colour", "drink", "count", "sound"],
    },
    KindTable {
        noun: "garden",
        unit: "paths",
        attributes: ["region", "patron", "tree", "scent", "month", "colour", "count", "year"],
    },
];

/// The most attributes that a concept can have.
pub(super) const MAX_ATTRIBUTES: usize = 8;

/// An attribute: a closed list of values and the ways to state one.
pub(super) struct AttributeTable {
    pub(super) key: &'static str,
    /// How a catalogue heads the value.
    pub(super) label: &'static str,
    /// How a dialogue asks for the value.
    pub(super) question: &'static str,
    pub(super) values: &'static [&'static str],
    /// Statements, in the order in which the `phrasings` knob takes them up: first those that end with the value,
    /// last those in which the value comes before the subject.
    pub(super) phrasings: [&'static str; MAX_PHRASINGS],
}

/// How many phrasings every attribute has.
pub(super) const MAX_PHRASINGS: usize = 8;

pub(super) const ATTRIBUTES: [AttributeTable; 13] = [
    AttributeTable {
        key: "region",
        label: "Home",
        question: "where is {S} at home",
        values: &[
            "Eastfold",
            "Saltmarch",
            "Harrowmere",
            "Winterdale",
            "Stonereach",
            "Oldwater",
            "Redmoor",
            "Highfell",
            "Longshore",
            "Greyholm",
            "Brightwold",
            "Sundermark",
            "Ashgrove",
            "Whitecliff",
            "Lowland",
            "Ironvale",
            "Mistwood",
            "Goldport",
            "Northmere",
            "Thornfield",
        ],
        phrasings: [
            "{S} belongs to {V}",
            "The home of {S} is {V}",
            "All maps place {S} in {V}",
            "Anyone looking for {S} should go to {V}",
            "{S} has always been part of {V}",
            "The way to {S} leads through {V}",
            "{V} is the home of {S}",
            "In {V} everyone knows {S}",
        ],
    },
    AttributeTable {
        key: "patron",
        label: "Patron",
        question: "who made {S} famous",
        values: &[
            "Aldous", "Berit", "Cosmo", "Dagny", "Edmund", "Freya", "Gideon", "Hilda", "Ivor", "Judith",
            "Konrad", "Lavinia", "Magnus", "Nadia", "Osric", "Petra", "Quentin", "Rosalind", "Sigmund",
            "Thelma", "Ulric", "Vera", "Wilfred", "Yolanda",
        ],
        phrasings: [
            "{S} owes its fame to {V}",
            "The name most often linked with {S} is {V}",
            "Nobody did more for {S} than {V}",
            "The story of {S} begins with {V}",
            "{S} was made famous by {V}",
            "{V} made {S} famous",
            "{V} spent a lifetime on {S}",
            "Without {V} we would not know {S}",
        ],
    },
    AttributeTable {
        key: "year",
        label: "First recorded",
        question: "when was {S} first recorded",
        values: &[
            "1204", "1219", "1233", "1258", "1267", "1281", "1306", "1325", "1342", "1377", "1390", "1411",
            "1436", "1452", "1468", "1483", "1509", "1527", "1544", "1563", "1591", "1618", "1634", "1675",
        ],
        phrasings: [
            "{S} was first recorded in {V}",
            "The oldest account of {S} dates from {V}",
            "{S} has been known since {V}",
            "The history of {S} starts in {V}",
            "Books speak of {S} as early as {V}",
            "Written sources mention {S} from {V} onwards",
            "In {V} a clerk first wrote about {S}",
            "{V} was the year in which {S} became known",
        ],
    },
    AttributeTable {
        key: "colour",
        label: "Colour",
        question: "which colour stands for {S}",
        values: &[
            "green",
            "red",
            "blue",
            "yellow",
            "purple",
            "white",
            "black",
            "brown",
            "pink",
            "grey",
            "scarlet",
            "golden",
            "silver",
            "violet",
            "turquoise",
            "crimson",
        ],
        phrasings: [
            "{S} is mostly {V}",
            "The colour of {S} is {V}",
            "From far away {S} looks {V}",
            "{S} is easy to spot because it is {V}",
            "Painters always show {S} in {V}",
            "Most pictures of {S} are {V}",
            "Those who see {S} remember a {V} glow",
            "{V} is the colour of {S}",
        ],
    },
    AttributeTable {
        key: "month",
        label: "Best month",
        question: "when is {S} at its best",
        values: &[
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ],
        phrasings: [
            "{S} is at its best in {V}",
            "The best month for {S} is {V}",
            "Most people meet {S} in {V}",
            "Those who love {S} wait for {V}",
            "The season of {S} opens in {V}",
            "{V} is the month of {S}",
            "In {V} there is nothing finer than {S}",
            "Every {V} brings new friends to {S}",
        ],
    },
    AttributeTable {
        key: "scent",
        label: "Scent",
        question: "what does {S} smell of",
        values: &[
            "thyme", "smoke", "honey", "roses", "pepper", "leather", "mint", "vanilla", "tar", "hay",
            "lavender", "garlic", "cinnamon", "seaweed", "apples", "wax", "ginger", "rain",
        ],
        phrasings: [
            "{S} smells of {V}",
            "The scent of {S} is {V}",
            "Around {S} the air is full of {V}",
            "{S} gives off a scent of {V}",
            "Blind people know {S} by its smell of {V}",
            "{V} is the smell of {S}",
            "A smell of {V} hangs over {S}",
            "The wind carries {V} from {S}",
        ],
    },
    AttributeTable {
        key: "material",
        label: "Material",
        question: "what is {S} made of",
        values: &[
            "oak", "copper", "bronze", "marble", "bamboo", "cedar", "iron", "ivory", "glass", "walnut",
            "clay", "ebony", "tin", "granite", "horn", "steel",
        ],
        phrasings: [
            "{S} is made of {V}",
            "The makers of {S} used {V}",
            "The body of {S} is {V}",
            "{S} was built from {V}",
            "Whoever touches {S} feels {V}",
            "Old bills for {S} list {V}",
            "For {S} only {V} was good enough",
            "{V} is the material of {S}",
        ],
    },
    AttributeTable {
        key: "emblem",
        label: "Emblem",
        question: "which animal stands for {S}",
        values: &[
            "fox", "heron", "lion", "bear", "hare", "wolf", "stag", "raven", "otter", "eagle", "snake",
            "badger", "dolphin", "horse", "swan", "beetle", "tiger", "goat",
        ],
        phrasings: [
            "{S} is under the sign of the {V}",
            "The emblem of {S} is the {V}",
            "Flags for {S} show the {V}",
            "On the seal of {S} stands the {V}",
            "In old tales {S} is guarded by the {V}",
            "Children who draw {S} add the {V}",
            "{S} took its emblem from the {V}",
            "The {V} is the animal of {S}",
        ],
    },
    AttributeTable {
        key: "belief",
        label: "Said to bring",
        question: "what is {S} said to bring",
        values: &[
            "luck",
            "twins",
            "courage",
            "sleep",
            "riches",
            "health",
            "laughter",
            "peace",
            "wisdom",
            "love",
            "strength",
            "patience",
            "plenty",
            "beauty",
            "victory",
            "friendship",
        ],
        phrasings: [
            "{S} is said to bring {V}",
            "Old people trust {S} to bring {V}",
            "By an old belief {S} means {V}",
            "The gift of {S} is {V}",
            "Those who think of {S} hope for {V}",
            "In songs {S} promises {V}",
            "Many turn to {S} for {V}",
            "{V} comes to those who honour {S}",
        ],
    },
    AttributeTable {
        key: "count",
        label: "Number of {U}",
        question: "how many {U} does {S} have",
        values: &[
            "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
            "fourteen", "fifteen", "sixteen", "twenty", "thirty",
        ],
        phrasings: [
            "The number of {U} of {S} is {V}",
            "The {U} of {S} number {V}",
            "Of {U} {S} has exactly {V}",
            "Whoever counts the {U} of {S} gets to {V}",
            "{S} has {V} {U}",
            "{V} {U} belong to {S}",
            "With its {V} {U} {S} stands out",
            "There are {V} {U} to {S}",
        ],
    },
    AttributeTable {
        key: "tree",
        label: "Tree",
        question: "which tree grows beside {S}",
        values: &[
            "willow", "birch", "linden", "maple", "chestnut", "poplar", "juniper", "beech", "cypress",
            "elder", "hazel", "larch", "mulberry", "olive", "pine", "rowan",
        ],
        phrasings: [
            "{S} is shaded by the {V}",
            "The tree of {S} is the {V}",
            "Beside {S} grows the {V}",
            "{S} is never far from the {V}",
            "Nothing suits {S} better than the {V}",
            "Leaves of the {V} lie around {S}",
            "The {V} is the tree of {S}",
            "Where the {V} grows {S} is near",
        ],
    },
    AttributeTable {
        key: "drink",
        label: "Drink",
        question: "which drink goes with {S}",
        values: &[
            "cider",
            "milk",
            "coffee",
            "mead",
            "tea",
            "beer",
            "wine",
            "cocoa",
            "lemonade",
            "brandy",
            "rum",
            "buttermilk",
            "sherry",
            "punch",
            "perry",
            "ale",
        ],
        phrasings: [
            "{S} goes well with {V}",
            "The drink of {S} is {V}",
            "Friends of {S} drink {V}",
            "A toast to {S} is made with {V}",
            "No evening with {S} ends without {V}",
            "{S} calls for a cup of {V}",
            "Where {S} is they pour {V}",
            "{V} is the drink of {S}",
        ],
    },
    AttributeTable {
        key: "sound",
        label: "Sound",
        question: "what does {S} sound like",
        values: &[
            "bells", "thunder", "whispers", "drums", "whistles", "trumpets", "hail", "purring", "sighs",
            "hammers", "rattles", "chimes", "flutes", "wheels", "crickets", "hoofs",
        ],
        phrasings: [
            "{S} sounds like {V}",
            "The sound of {S} is like {V}",
            "Listeners compare {S} to {V}",
            "Close to {S} one hears {V}",
            "From {S} comes a sound of {V}",
            "The voice of {S} recalls {V}",
            "{V} is what one hears from {S}",
            "Poets hear {V} in {S}",
        ],
    },
];

/// How a genre lays its statements out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Sentences in one paragraph.
    Prose,
    /// One sentence a line, after a dash.
    List,
    /// Headed values in one paragraph.
    Catalogue,
    /// A question and its answer a line.
    Dialogue,
}

/// A genre: how a document opens, joins its statements and closes.
pub(super) struct GenreTable {
    pub(super) name: &'static str,
    pub(super) layout: Layout,
    /// Each names the concept and its kind, and ends with its mark.
    pub(super) openings: &'static [&'static str],
    /// Each stands before a statement and swallows its capital.
    pub(super) leads: &'static [&'static str],
    /// May be empty: then the document just ends.
    pub(super) closings: &'static [&'static str],
}

pub(super) const GENRES: [GenreTable; 8] = [
    GenreTable {
        name: "encyclopedia",
        layout: Layout::Prose,
        openings: &[
            "{S} is a {K}.",
            "{S}, a {K}, is the subject of this entry.",
            "{S} is the name of a {K}.",
        ],
        leads: &["According to most sources,", "It is agreed that"],
        closings: &[],
    },
    GenreTable {
        name: "travel note",
        layout: Layout::Prose,
        openings: &[
            "On the third day we came upon {S}, a {K}.",
            "Our journey led us to {S}, a {K}.",
            "At last I saw {S}, the {K} of which I had read.",
        ],
        leads: &["We were told that", "People here say that", "I noted that"],
        closings: &["We left {S} with regret.", "The next morning we moved on."],
    },
    GenreTable {
        name: "letter",
        layout: Layout::Prose,
        openings: &[
            "Dear {P}, you asked me about {S}, the {K}.",
            "Dear {P}, let me tell you of {S}, the {K}.",
            "My dear {P}, today I write about {S}, a {K}.",
        ],
        leads: &["You should know that", "I hear that", "I am sure that"],
        closings: &["Yours, {P}.", "Write soon, your {P}."],
    },
    GenreTable {
        name: "catalogue",
        layout: Layout::Catalogue,
        openings: &["{S} ({K}).", "Entry: {S}, {K}."],
        leads: &[],
        closings: &["See also the other entries."],
    },
    GenreTable {
        name: "dialogue",
        layout: Layout::Dialogue,
        openings: &["Questions about {S}, a {K}.", "Have you heard of the {K} called {S}?"],
        leads: &["Tell me,", "Do you know:"],
        closings: &["Now you know {S}."],
    },
    GenreTable {
        name: "news",
        layout: Layout::Prose,
        openings: &[
            "There is news of {S}, the well known {K}.",
            "The {K} called {S} is in the news again.",
            "Crowds gathered this week to celebrate {S}, a {K}.",
        ],
        leads: &["Reporters add that", "A speaker confirmed that", "As readers know,"],
        closings: &["More on {S} will follow.", "The talks go on next week."],
    },
    GenreTable {
        name: "list",
        layout: Layout::List,
        openings: &["Some facts about {S}, a {K}:", "What to know about the {K} called {S}:"],
        leads: &[],
        closings: &[],
    },
    GenreTable {
        name: "lesson",
        layout: Layout::Prose,
        openings: &[
            "Today we learn about {S}, a {K}.",
            "Children, listen: {S} is a {K}.",
            "Our lesson is about the {K} called {S}.",
        ],
        leads: &["Remember that", "Write down that", "Do not forget that"],
        closings: &["That is all about {S}.", "Tomorrow we go on."],
    },
];

/// The people who write letters and receive them; none is a value of an attribute.
pub(super) const CORRESPONDENTS: [&str; 12] =
    ["Anna", "Tomas", "Clara", "Henry", "Lucy", "Oscar", "Emma", "Peter", "Nora", "Simon", "Agnes", "Walter"];

/// Names are made of these, so that they can be spoken and are not words.
pub(super) const SYLLABLES: [&str; 48] = [
    "ba", "be", "bo", "da", "de", "do", "fa", "fe", "ga", "go", "ka", "ke", "ko", "la", "le", "li", "lo",
    "lu", "ma", "me", "mi", "mo", "na", "ne", "ni", "no", "pa", "pe", "po", "ra", "re", "ri", "ro", "sa",
    "se", "so", "ta", "te", "ti", "to", "va", "ve", "vi", "vo", "za", "ze", "zo", "ru",
];

/// How a name may end after its last vowel.
pub(super) const CODAS: [&str; 6] = ["", "n", "r", "s", "l", "th"];
