"""Names of months in the languages whose computers write logs, in any of their encodings.

A word can be another month in another language (``listopada`` is October in Croatian and November in Polish), so that
one word gives every month that it can mean.
"""

from __future__ import annotations

from typing import Final

# By month, parted by bars; the forms of a language that stand in a date, and its abbreviations.
_LANGUAGES: Final = {
    "English": "jan january|feb february|mar march|apr april|may|jun june|jul july|aug august|sep sept september"
    "|oct october|nov november|dec december",
    "German": "jan januar jänner|feb februar feber|mrz märz maerz mär|apr april|mai|jun juni|jul juli|aug august"
    "|sep sept september|okt oktober|nov november|dez dezember",
    "Dutch": "jan januari|feb februari|mrt maart|apr april|mei|jun juni|jul juli|aug augustus|sep september"
    "|okt oktober|nov november|dec december",
    "Danish": "jan januar|feb februar|mar marts|apr april|maj|jun juni|jul juli|aug august|sep september|okt oktober"
    "|nov november|dec december",
    "Norwegian": "jan januar|feb februar|mar mars|apr april|mai|jun juni|jul juli|aug august|sep september"
    "|okt oktober|nov november|des desember",
    "Swedish": "jan januari|feb februari|mar mars|apr april|maj|jun juni|jul juli|aug augusti|sep september"
    "|okt oktober|nov november|dec december",
    "Icelandic": "jan janúar|feb febrúar|mar mars|apr apríl|maí|jún júní|júl júlí|ágú ágúst|sep september"
    "|okt október|nóv nóvember|des desember",
    "Finnish": "tammi tammikuu tammikuuta|helmi helmikuu helmikuuta|maalis maaliskuu maaliskuuta"
    "|huhti huhtikuu huhtikuuta|touko toukokuu toukokuuta|kesä kesäkuu kesäkuuta|heinä heinäkuu heinäkuuta"
    "|elo elokuu elokuuta|syys syyskuu syyskuuta|loka lokakuu lokakuuta|marras marraskuu marraskuuta"
    "|joulu joulukuu joulukuuta",
    "Estonian": "jaan jaanuar|veebr veebruar|märts|apr aprill|mai|juuni|juuli|aug august|sept september"
    "|okt oktoober|nov november|dets detsember",
    "Latvian": "janv janvāris|febr februāris|marts|apr aprīlis|maijs|jūn jūnijs|jūl jūlijs|aug augusts"
    "|sept septembris|okt oktobris|nov novembris|dec decembris",
    "Lithuanian": "sausio saus|vasario vas|kovo kov|balandžio bal|gegužės geg|birželio birž|liepos liep"
    "|rugpjūčio rugp|rugsėjo rugs|spalio spal|lapkričio lapkr|gruodžio gruod",
    "French": "janv janvier|févr fév fevr fev février fevrier|mars|avr avril|mai|juin|juil juillet|août aout"
    "|sept septembre|oct octobre|nov novembre|déc dec décembre decembre",
    "Italian": "gen gennaio|feb febbraio|mar marzo|apr aprile|mag maggio|giu giugno|lug luglio|ago agosto"
    "|set settembre|ott ottobre|nov novembre|dic dicembre",
    "Spanish": "ene enero|feb febrero|mar marzo|abr abril|may mayo|jun junio|jul julio|ago agosto"
    "|sept sep set septiembre setiembre|oct octubre|nov noviembre|dic diciembre",
    "Portuguese": "jan janeiro|fev fevereiro|mar março marco|abr abril|mai maio|jun junho|jul julho|ago agosto"
    "|set setembro|out outubro|nov novembro|dez dezembro",
    "Catalan": "gen gener|febr febrer|març|abr abril|maig|juny|jul juliol|ag agost|set setembre|oct octubre"
    "|nov novembre|des desembre",
    "Romanian": "ian ianuarie|feb februarie|mar martie|apr aprilie|mai|iun iunie|iul iulie|aug august|sept septembrie"
    "|oct octombrie|nov noiembrie|dec decembrie",
    "Polish": "sty styczeń stycznia|lut luty lutego|mar marzec marca|kwi kwiecień kwietnia|maj maja"
    "|cze czerwiec czerwca|lip lipiec lipca|sie sierpień sierpnia|wrz wrzesień września|paź październik października"
    "|lis listopad listopada|gru grudzień grudnia",
    "Czech": "led leden ledna|úno únor února|bře březen března|dub duben dubna|kvě květen května|čvn červen června"
    "|čvc červenec července|srp srpen srpna|zář září|říj říjen října|lis listopad listopadu|pro prosinec prosince",
    "Slovak": "jan január januára|feb február februára|mar marec marca|apr apríl apríla|máj mája|jún júna|júl júla"
    "|aug august augusta|sep september septembra|okt október októbra|nov november novembra|dec december decembra",
    "Slovene": "jan januar januarja|feb februar februarja|mar marec marca|apr april aprila|maj maja|jun junij junija"
    "|jul julij julija|avg avgust avgusta|sep september septembra|okt oktober oktobra|nov november novembra"
    "|dec december decembra",
    "Croatian": "sij siječanj siječnja|velj veljača veljače|ožu ožujak ožujka|tra travanj travnja|svi svibanj svibnja"
    "|lip lipanj lipnja|srp srpanj srpnja|kol kolovoz kolovoza|ruj rujan rujna|lis listopad listopada"
    "|stu studeni studenoga|pro prosinac prosinca",
    "Serbian": "jan januar|feb februar|mar mart|apr april|maj|jun|jul|avg avgust|sep septembar|okt oktobar"
    "|nov novembar|dec decembar",
    "Hungarian": "jan január|febr február|márc március|ápr április|máj május|jún június|júl július|aug augusztus"
    "|szept szeptember|okt október|nov november|dec december",
    "Turkish": "oca ocak|şub şubat|mar mart|nis nisan|may mayıs mayis|haz haziran|tem temmuz|ağu ağustos|eyl eylül"
    "|eki ekim|kas kasım kasim|ara aralık aralik",
    "Indonesian": "jan januari|feb februari|mar maret|apr april|mei|jun juni|jul juli|agu agt agustus|sep september"
    "|okt oktober|nov november|des desember",
    "Russian": "янв январь января|фев февр февраль февраля|мар март марта|апр апрель апреля|май мая"
    "|июн июнь июня|июл июль июля|авг август августа|сен сент сентябрь сентября|окт октябрь октября"
    "|ноя нояб ноябрь ноября|дек декабрь декабря",
    "Ukrainian": "січ січня|лют лютого|бер березня|кві квітня|тра травня|чер червня|лип липня|сер серпня|вер вересня"
    "|жов жовтня|лис листопада|гру грудня",
    "Bulgarian": "яну януари|фев февруари|март|апр април|май|юни|юли|авг август|сеп септември|окт октомври"
    "|ное ноември|дек декември",
    "Greek": "ιαν ιανουαρίου|φεβ φεβρουαρίου|μαρ μαρτίου|απρ απριλίου|μαΐ μαΐου|ιουν ιουνίου|ιουλ ιουλίου"
    "|αυγ αυγούστου|σεπ σεπτεμβρίου|οκτ οκτωβρίου|νοε νοεμβρίου|δεκ δεκεμβρίου",
}
# Windows, Unix and DOS of those languages, where a log is not in UTF-8.
_ENCODINGS: Final = ("cp1252", "cp1250", "cp1251", "koi8-r", "cp866", "cp1253", "cp1254", "cp1257", "cp850", "cp852")


def _table() -> dict[str, tuple[int, ...]]:
    table: dict[str, set[int]] = {}
    for language in _LANGUAGES.values():
        for number, words in enumerate(language.split("|"), start=1):
            for word in words.split():
                table.setdefault(word, set()).add(number)
    return {word: tuple(sorted(numbers)) for word, numbers in table.items()}


MONTHS: Final = _table()


def months_of(word: bytes) -> tuple[int, ...]:
    """The months (1 to 12) that a word can mean; none if it names no month."""
    found = MONTHS.get(_plain(word.decode("utf-8", "replace")), ())
    if found or word.isascii():
        return found
    elsewhere = [MONTHS.get(_plain(word.decode(encoding, "replace")), ()) for encoding in _ENCODINGS]
    return tuple(sorted({month for months in elsewhere for month in months}))


def _plain(word: str) -> str:
    return word.lower().replace("i̇", "i").rstrip(".")
