package main

var firstNames = []string{
	"Jane", "John", "Mary", "James", "Linda", "Robert", "Anne-Marie", "Jean-Luc", "D'Arcy", "Zoë", "Renée", "José", "Łukasz",
	"Søren", "Åsa", "Jürgen", "Ünal", "İbrahim", "Nguyễn", "Владимир", "Ольга", "Ελένη", "Γιώργος", "محمد", "فاطمة", "יעל",
	"דוד", "小明", "美咲", "さくら", "지훈", "สมชาย", "राहुल", "தமிழ்", "አበበ", "👩‍🚀 Sam", "Null", "N/A", "J.", "X Æ A-12",
	`Robert "Bob"`, "Max 😀", "O\u0308mer",
}

var lastNames = []string{
	"Doe", "Smith", "O'Brien", "van der Berg", "de la Cruz", "Smith-Jones", "Müller", "Straße", "Øster", "Żółć", "Šimić",
	"Nuñez", "D’Angelo", "Иванов", "Παπαδόπουλος", "الحسن", "بن علي", "כהן", "王", "田中", "김", "Nguyễn Thị", "शर्मा",
	"Smith, Jr.", "Null", "False", "Test", "Ng", "Li", "Wolfeschlegelsteinhausenbergerdorff", "St. John", "🌻", "Garcia\u0301",
}

// locals begin the local parts of addresses. None has a letter whose upper case is another letter's too (ı, ς, ſ).
var locals = []string{
	"jane", "john.doe", "mary_ann", "info", "jose.garcia", "o'brien", "shop+orders", "x", "anne-marie", "sales.department",
	"first.middle.last", "josé", "jürgen", "renée", "søren", "łukasz", "ольга", "ελένη", "田中", "محمد", "कविता",
}

// domains are reserved for examples and tests (RFC 2606, and IANA's former test domains).
var domains = []domain{
	{"example.com", "example.com"},
	{"example.org", "example.org"},
	{"mail.example.net", "mail.example.net"},
	{"gmail.example", "gmail.example"},
	{"gmail.example", "gmail.example"},
	{"web-mail.example", "web-mail.example"},
	{"bücher.example", "xn--bcher-kva.example"},
	{"例え.テスト", "xn--r8jz45g.xn--zckzah"},
	{"пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f"},
	{"παράδειγμα.δοκιμή", "xn--hxajbheg2az3al.xn--jxalpdlp"},
	{"उदाहरण.परीक्षा", "xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g"},
	{"مثال.إختبار", "xn--mgbh0fb.xn--kgbechtv"},
}
