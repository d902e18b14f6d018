"""The usual names of columns, of inputs, of subjects above them, and of answers."""

import re
import unicodedata

# In seven languages, without accents. Of two words the last counts, as in "ticket_text".
_INPUTS = """
    text texts message messages body content contents question query prompt input inputs
    sentence utterance comment comments review reviews description ticket request email mail
    post tweet complaint feedback transcript document article passage source_text original
    problem phrase note nachricht frage anfrage beschreibung inhalt eingabe kommentar bewertung
    satz anliegen texte commentaire avis contenu demande entree enonce mensaje pregunta
    comentario resena opinion contenido consulta frase descripcion entrada texto testo messaggio
    domanda commento recensione contenuto richiesta descrizione mensagem pergunta avaliacao
    conteudo descricao pedido tekst bericht vraag opmerking beoordeling inhoud zin omschrijving
    beschrijving invoer
"""
_SUBJECTS = """
    subject title headline betreff titel objet titre asunto titulo oggetto titolo assunto
    onderwerp
"""
_ANSWERS = """
    label labels category categories class intent topic tag type answer answers response reply
    output outputs target summary completion solution sentiment department queue team result
    translation sql rewrite rewritten correction corrected emotion kategorie klasse thema
    antwort ausgabe zusammenfassung typ art abteilung etikett stimmung losung categorie classe
    etiquette reponse sortie resume theme categoria clase etiqueta respuesta salida resumen tipo
    tema etichetta risposta uscita riassunto argomento rotulo resposta saida resumo antwoord
    uitvoer samenvatting soort afdeling
"""
INPUT_NAMES = frozenset(_INPUTS.split())
SUBJECT_NAMES = frozenset(_SUBJECTS.split())
ANSWER_NAMES = frozenset(_ANSWERS.split())
NAME_TOKEN = re.compile(r"[a-z]+")


def tokens_of(name: str) -> tuple[str, ...]:
    """Return the words of a name, in lower case and without accents: "ticketText" has two."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    plain = unicodedata.normalize("NFKD", spaced.casefold())
    return tuple(NAME_TOKEN.findall("".join(c for c in plain if not unicodedata.combining(c))))


def is_usual_name(name: str) -> bool:
    """Say whether a cell is the name of a column rather than a value: all of it is known."""
    tokens = tokens_of(name)
    return len(tokens) == 1 and tokens[0] in INPUT_NAMES | SUBJECT_NAMES | ANSWER_NAMES
