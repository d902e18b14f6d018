"""Commands to a home assistant, answered by the intent."""

from collections.abc import Iterator
from random import Random

from tools.starter.grammar import Row, labelled

PER_LABEL = 28
SYSTEMS = ("", "Name the intent of the command.", "Home assistant: answer with the intent only.")
SLOTS = {
    "room": ["kitchen", "bedroom", "living room", "hallway", "bathroom", "garage", "study"],
    "time": ["six", "half past seven", "8:15", "noon", "ten to nine", "quarter past five"],
    "minutes": ["five", "twelve", "twenty", "45", "ninety", "three"],
    "artist": ["Nina Simone", "Daft Punk", "some jazz", "Bach", "the Beatles", "my gym playlist"],
    "city": ["Oslo", "Lima", "Chicago", "Nairobi", "Kyoto", "Porto", "here"],
    "item": ["oat milk", "batteries", "onions", "dish soap", "coffee", "bin bags", "rice"],
    "person": ["Mum", "Ravi", "the dentist", "Aunt Clara", "my boss", "Jonas"],
    "day": ["today", "tomorrow", "on Sunday", "this weekend", "tonight"],
    "dish": ["lentil soup", "pancakes", "a curry", "banana bread", "shakshuka"],
}
PATTERNS = {
    "light_on": [
        "[Turn|Switch] on the {room} light.",
        "It's too dark in the {room}.",
        "Lights on in the {room}, please.",
        "Can you light up the {room}?",
        "I can't see anything in the {room}.",
        "Give me some light in the {room}, about [30|50|80] percent.",
    ],
    "light_off": [
        "[Turn|Switch] off the {room} lamp.",
        "Lights out in the {room}.",
        "Make the {room} dark.",
        "Nobody is in the {room}, kill the lights there.",
        "I'm going to sleep, turn all the lights off [please|now|].",
        "The lamp in the {room} is still burning, put it out.",
    ],
    "set_alarm": [
        "Wake me [up|] at {time} {day}.",
        "Set an alarm for {time}.",
        "I have to get up at {time} {day}.",
        "Alarm {day} at {time}, [with birdsong|loud please|].",
        "Don't let me sleep past {time}.",
    ],
    "set_timer": [
        "Timer for {minutes} minutes.",
        "Count down {minutes} minutes [for the eggs|for the pasta|].",
        "Tell me when {minutes} minutes are over.",
        "Start a {minutes} minute [timer|countdown].",
        "Remind me in {minutes} minutes to check the oven.",
    ],
    "play_music": [
        "Play {artist} [in the {room}|].",
        "Put on {artist}.",
        "I'm in the mood for {artist}.",
        "Could we listen to {artist} {day}?",
        "Start {artist} on the {room} speaker.",
        "Some music please, {artist} would be nice.",
    ],
    "weather_query": [
        "Will it rain in {city} {day}?",
        "How warm is it [going to be|] in {city} {day}?",
        "Do I need an umbrella {day}?",
        "What's the weather like in {city}?",
        "Is it going to freeze {day} in {city}?",
        "Sunny or cloudy in {city} {day}?",
    ],
    "shopping_add": [
        "Put {item} on the shopping list.",
        "We're out of {item}.",
        "Add {item} and {item} to my list.",
        "Remember to buy {item} {day}.",
        "I need {item} [from the shop|].",
    ],
    "call_contact": [
        "Call {person} [on speaker|].",
        "Ring {person} for me [{day}|now].",
        "I want to talk to {person}.",
        "Get {person} on the phone.",
        "Dial {person}'s [mobile|home number].",
    ],
    "thermostat_set": [
        "Set the {room} to [18|20|21|22] degrees.",
        "I'm [freezing|cold] in the {room}.",
        "Make it [two degrees|a bit] warmer in the {room}.",
        "Heating [down|off] in the {room} {day}.",
        "It's boiling in the {room}, cool it down.",
    ],
    "calendar_query": [
        "What's on my calendar {day}?",
        "When is my [meeting|appointment] with {person}?",
        "Am I free at {time} {day}?",
        "Do I have anything planned {day}?",
        "Which appointments do I have with {person} {day}?",
        "What time is the thing with {person} {day}?",
    ],
    "recipe_query": [
        "How do I make {dish} [{day}|]?",
        "Find me a recipe for {dish} [without dairy|for four people|that is quick|].",
        "What goes into {dish}?",
        "I'd like to cook {dish} {day}, what are the steps?",
        "How long does {dish} take [to cook|in the oven|]?",
    ],
    "lock_door": [
        "Lock the [front|back|garage|cellar] door.",
        "Did I leave the [front|back|cellar] door open? Lock it [please|now].",
        "Secure the house, [I'm leaving|we're off to bed|nobody is home {day}].",
        "Bolt the [front|patio|garage|side] door at {time}.",
        "Make sure [all doors are|the garage is|the back door is] locked [{day}|].",
    ],
}


def generate(rng: Random) -> Iterator[Row]:
    yield from labelled(PATTERNS, SLOTS, SYSTEMS, rng, PER_LABEL)
