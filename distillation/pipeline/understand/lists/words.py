"""The few words that plain parsing needs, in each of the seven languages.

All else that words say is learned from the collection. Add a language: one entry in each table, and
requirements in that language in the collection.
"""

from collections.abc import Mapping

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl")


def _table(words: Mapping[str, str]) -> dict[str, frozenset[str]]:
    return {language: frozenset(text.split()) for language, text in words.items()}


OR = _table(
    {
        "en": "or nor versus vs",
        "de": "oder bzw beziehungsweise",
        "fr": "ou soit",
        "es": "o u ó",
        "it": "o oppure od",
        "pt": "ou",
        "nl": "of ofwel",
    }
)
AND = _table(
    {
        "en": "and & plus",
        "de": "und sowie &",
        "fr": "et &",
        "es": "y e &",
        "it": "e ed &",
        "pt": "e &",
        "nl": "en &",
    }
)
# Words that no label begins or ends with: articles, prepositions, pronouns, auxiliaries.
FUNCTION = _table(
    {
        "en": "a an the this that these those it its it's they them their he she we us our you"
        " your i my me who which what whose each every any is are was be been am being has"
        " have had do does did can could may might must shall should will would to of in"
        " on at by for from with into onto about as if when whether than then so because"
        " while where how just exactly always please per via either one only says means"
        " depending based",
        "de": "der die das den dem des ein eine einen einem einer eines ist sind war sein wird"
        " werden hat haben kann können soll sollen muss müssen darf zu zum zur im in am an"
        " auf aus bei mit nach von vom für über durch ob wenn dass weil als wie nur bitte"
        " jede jeder jedes jeden wir uns unser unsere ihr sie er es ich mein sich damit je"
        " entweder genau und oder also",
        "fr": "le la les l un une des du de d au aux ce cet cette ces il elle ils nous vous je"
        " mon ma mes notre votre son sa ses leur est sont être a ont avoir peut doit pour"
        " par dans sur avec en si que qui dont où quand comme seulement chaque soit selon"
        " afin uniquement",
        "es": "el la los las un una unos unas de del al lo esta este estas estos ese esa su sus"
        " nuestro nuestra mi es son ser está ha han puede debe para por en con desde hasta"
        " si que quien cuando como solo sólo cada según",
        "it": "il lo la gli le i un uno una di del dello della dei degli delle da dal dalla nel"
        " nella sul sulla al alla ai questo questa è sono essere ha hanno può deve per con"
        " tra fra se che chi quando come ogni solo secondo",
        "pt": "o a os as um uma uns umas de do da dos das no na nos nas ao à pelo pela este"
        " esta é são foi ser está tem pode deve para por com em desde até se que quem"
        " quando como cada só apenas conforme",
        "nl": "het de een dit dat deze die is zijn was wordt worden heeft hebben kan moet mag"
        " te op aan uit bij met naar van voor in over door als wie wanneer hoe alleen elke"
        " elk ieder wij we ons onze jij je u hij ze ik mijn zodat om",
    }
)
NEGATION = _table(
    {
        "en": "not no non isn't don't never without except",
        "de": "nicht kein keine nie niemals ohne",
        "fr": "pas non sans jamais ni",
        "es": "no sin nunca ni",
        "it": "non no senza mai né",
        "pt": "não sem nunca nem",
        "nl": "niet geen nooit zonder",
    }
)
NOT = _table(
    {
        "en": "not",
        "de": "nicht",
        "fr": "pas non",
        "es": "no",
        "it": "no non",
        "pt": "não",
        "nl": "niet",
    }
)
YES = frozenset(["yes", "ja", "oui", "sí", "si", "sì", "sim", "y", "true"])
ARTICLE = _table(
    {
        "en": "a an the any",
        "de": "der die das den ein eine einen",
        "fr": "le la les l' un une des du",
        "es": "el la los las un una",
        "it": "il lo la i gli le un una uno",
        "pt": "o a os as um uma",
        "nl": "de het een",
    }
)
# What stands between a label and its explanation: "urgent if somebody waits".
CONDITION = _table(
    {
        "en": "if when means for is where covers includes",
        "de": "wenn falls bei bedeutet heißt für ist umfasst",
        "fr": "si quand pour signifie est lorsque",
        "es": "si cuando para significa es incluye",
        "it": "se quando per significa è indica",
        "pt": "se quando para significa é inclui",
        "nl": "als wanneer voor betekent is bij indien",
    }
)
# What a label for all that is left stands beside: "everything else is other".
ELSE = _table(
    {
        "en": "else otherwise none anything neither rest unclear doubt remaining fallback default"
        " nothing unsure other simply call goes",
        "de": "sonst andernfalls übrige rest nichts ansonsten unklar zweifel keine keines alles",
        "fr": "sinon reste aucun aucune autre doute rien autrement",
        "es": "demás resto ninguno ninguna contrario duda otro nada cualquier",
        "it": "altrimenti resto nessuno nessuna dubbio altro niente caso",
        "pt": "senão contrário resto nenhum nenhuma dúvida outro nada restante",
        "nl": "anders overige overig rest geen twijfel niets alles",
    }
)
# What a list that is only a sample of all labels stands after.
SAMPLE = {
    "en": ("such as", "e.g", "for example", "for instance", "like", "including", "among others"),
    "de": ("z.b", "z. b", "wie etwa", "zum beispiel", "beispielsweise", "etwa", "wie"),
    "fr": ("par exemple", "p. ex", "comme", "tel que", "telles que", "tels que", "notamment"),
    "es": ("por ejemplo", "p. ej", "tales como", "como", "entre otras", "entre otros"),
    "it": ("ad esempio", "per esempio", "come", "tipo", "tra cui"),
    "pt": ("por exemplo", "tais como", "como", "entre outras", "entre outros"),
    "nl": ("bijvoorbeeld", "bijv", "zoals", "onder andere", "o.a"),
}
AND_SO_ON = ("etc", "and so on", "usw", "und so weiter", "ecc", "enz", "…", "...")

# How the words for a set of labels begin.
LABEL_NOUNS = (
    "label",
    "categor",
    "kategor",
    "catégor",
    "categor",
    "class",
    "klass",
    "clase",
    "topic",
    "thema",
    "tema",
    "theme",
    "intent",
    "tag",
    "queue",
    "team",
    "department",
    "group",
    "grupp",
    "groep",
    "type",
    "kind",
    "bucket",
    "level",
    "niveau",
    "etiquet",
    "étiquet",
    "status",
    "reason",
    "code",
    "option",
    "section",
    "rubri",
)

_NUMBERS = {
    "en": "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty",
    "de": "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn",
    "fr": "deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze",
    "es": "dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince",
    "it": "due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici",
    "pt": "dois três quatro cinco seis sete oito nove dez onze doze treze quatorze quinze",
    "nl": "twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien",
}
NUMBERS = {
    language: {word: number for number, word in enumerate(text.split(), 2)}
    for language, text in _NUMBERS.items()
}


def words_of_languages(text: str) -> dict[str, int]:
    """Count the small words of each language in a text."""
    words = [word.strip("¿?.,:;!") for word in text.lower().split()]
    return {code: sum(word in FUNCTION[code] for word in words) for code in LANGUAGES}
