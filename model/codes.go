package model

import "strings"

// The lists that texts of few letters are held to, as the standards had them in 2025. Those of golang.org/x/text are of
// 2017: they lack seven currencies of today, and take withdrawn codes and those that are not the standards' own.
var (
	languages  = codes(iso639)
	currencies = codes(iso4217)
	countries  = codes(iso3166)
)

func codes(list string) map[string]bool {
	set := map[string]bool{}
	for code := range strings.FieldsSeq(list) {
		set[code] = true
	}
	return set
}

// normalizeLanguage returns an ISO 639-1 code in lower case.
func normalizeLanguage(text string) (string, *fault) {
	return normalizeCode(text, strings.ToLower, languages, "an ISO 639-1 code of two letters, such as en")
}

// normalizeCurrency returns an ISO 4217 code in upper case.
func normalizeCurrency(text string) (string, *fault) {
	return normalizeCode(text, strings.ToUpper, currencies, "an ISO 4217 code in use, such as EUR")
}

// normalizeCountry returns an ISO 3166-1 alpha-2 code in upper case.
func normalizeCountry(text string) (string, *fault) {
	return normalizeCode(text, strings.ToUpper, countries, "an ISO 3166-1 code of two letters, such as DE")
}

func normalizeCode(text string, fold func(string) string, list map[string]bool, what string) (string, *fault) {
	if strings.TrimSpace(text) == "" {
		return "", &fault{UserErrorBlank, "must not be blank"}
	}
	code := fold(text)
	if !list[code] || len(code) != len(text) { // as it is where a letter outside ASCII was folded into it, such as KELVIN SIGN
		return "", &fault{UserErrorInvalid, "must be " + what}
	}
	return code, nil
}

// iso639 is ISO 639-1, now Set 1 of ISO 639.
const iso639 = `
aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et
eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk
kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny
oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti
tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu`

// iso4217 is list one of ISO 4217, the currencies and funds in use, without XXX (none) and XTS (for tests).
const iso4217 = `
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG
HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK
MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR
SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW
UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XUA YER ZAR ZMW ZWG`

// iso3166 is ISO 3166-1 alpha-2, the codes that are officially assigned, and XK, which the world's shops and posts use
// for Kosovo.
const iso3166 = `
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD
CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF
GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN
KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA
NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI
SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI
VN VU WF WS XK YE YT ZA ZM ZW`
