"""Prompts of the offline demo: questions of the built-in data, and further ones written for this demo."""

from typing import Any

from trl_ext.data.demo import demo_prompt, load_demo_questions, split_questions


# The split of `load_demo_preferences()`: a reward model trained on it must meet its test questions in its test only
DEMO_SEED = 0

CALIBRATION_QUESTIONS = (
    "Why is the sky blue on a clear day?",
    "How do bees make honey?",
    "What is the difference between weather and climate?",
    "Why do leaves change color in autumn?",
    "How does a bicycle stay upright while it moves?",
    "What causes ocean tides?",
    "Why do we need to sleep?",
    "How does a microwave oven heat food?",
    "What is a rainbow made of?",
    "Why does bread rise in the oven?",
    "How do birds find their way when they migrate?",
    "What is the purpose of a country's constitution?",
    "Why do metals feel colder than wood at the same temperature?",
    "How do vaccines differ from medicines?",
    "What makes a volcano erupt?",
    "How can I remember the names of new people?",
    "What is inflation in an economy?",
    "Why do cats purr?",
    "How is paper recycled?",
    "What is the difference between a virus and a bacterium?",
    "How do I boil an egg so that the yolk stays soft?",
    "Why do stars twinkle?",
    "What does a conductor do in an orchestra?",
    "How does soap remove grease?",
    "Why is the sea salty?",
    "What is a leap year, and why do we have one?",
    "How do airplanes stay in the air?",
    "What is compound interest?",
    "How should I store fresh bread?",
    "Why do onions make people cry?",
    "What is the role of a judge in a court?",
    "How does a refrigerator keep food cold?",
    "What is the difference between a lake and a pond?",
    "Why do some animals hibernate?",
    "How do seeds know when to sprout?",
    "What is the water cycle?",
    "How can I make my room quieter?",
    "Why do people yawn?",
    "What is a haiku?",
    "How do submarines dive and come up again?",
    "What is the use of punctuation in writing?",
    "Why does ice float on water?",
    "How do I remove a coffee stain from a shirt?",
    "What is the difference between a crocodile and an alligator?",
    "How do glasses help people to see?",
    "What is a budget good for?",
    "Why do we have time zones?",
    "How do plants drink water?",
    "What makes popcorn pop?",
    "Why does a compass needle point north?",
    "How do spiders make their webs?",
    "What is the difference between a fruit and a vegetable?",
    "How can I learn ten new words a day?",
    "Why do dogs wag their tails?",
    "What does a heart rate monitor measure?",
    "How does a thermometer work?",
    "What is a supply chain?",
    "Why is too much sugar bad for the teeth?",
    "How do camels survive in the desert?",
    "What is the difference between speed and velocity?",
    "How do I write a polite complaint?",
    "Why do boats float?",
    "What is the job of the roots of a tree?",
    "How does a zipper work?",
    "Why do we see lightning before we hear thunder?",
    "What is an encyclopedia?",
    "How are pearls made?",
    "What is the difference between mass and weight?",
    "How can I keep my houseplants alive on a holiday?",
    "Why do fish not drown?",
    "What is a metaphor?",
    "How does a piano make sound?",
    "Why does a candle go out under a glass?",
    "What is the purpose of a passport?",
    "How do farmers use crop rotation?",
    "Why do apples turn brown after they are cut?",
    "What is gravity?",
    "How do I tie a simple knot?",
    "What is a solar eclipse?",
    "Why do we cook meat before eating it?",
    "How do mirrors reflect an image?",
    "What is the difference between a city and a village?",
    "How does rain form?",
    "What is a good way to start a speech?",
    "Why do knives need to be sharpened?",
    "How do bats find insects in the dark?",
    "What is a library good for?",
    "Why does salt melt ice on roads?",
    "How does a lock open with the right key?",
    "What is the difference between a comet and a meteor?",
    "How can I save electricity at home?",
)
HELDOUT_QUESTIONS = (
    "Why do we have eyebrows?",
    "How does a sundial show the time?",
    "What is the difference between a poem and a story?",
    "Why do giraffes have long necks?",
    "How do I make a paper airplane?",
    "What is a tax?",
    "Why do tires have a tread?",
    "How is glass made?",
    "What is an echo?",
    "Why do people dream?",
    "How does a vacuum cleaner pick up dust?",
    "What is the difference between butter and margarine?",
    "How do penguins stay warm?",
    "Why does a ball bounce?",
    "What is a democracy?",
    "How do I ask for directions politely?",
    "What are clouds made of?",
    "Why do we get goosebumps?",
    "How does a parachute slow a fall?",
    "What is a fossil?",
    "How can I fall in love with reading again?",
    "Why do owls hunt at night?",
    "What is the difference between a hill and a mountain?",
    "How does a battery store energy?",
    "What is the purpose of a seat belt?",
    "Why does milk turn sour?",
    "How do I peel garlic quickly?",
    "What is a census?",
    "Why are flamingos pink?",
    "How do windmills make electricity?",
    "What is a proverb?",
    "Why do we blink?",
    "How do ants find food?",
    "What is the difference between jam and jelly?",
    "How does a bridge carry heavy trucks?",
    "Why should I read a contract before I sign it?",
    "What is an island?",
    "How do I keep a white shirt white?",
    "Why do cows have four parts in their stomach?",
    "What is a chess opening?",
    "How does a telescope make far things look near?",
    "Why does hot air rise?",
    "What is the difference between a simile and a rhyme?",
    "How do trees help to clean the air?",
    "What is a warranty?",
    "Why do we shake hands?",
    "How does yogurt form from milk?",
    "What is the horizon?",
    "Why do cacti have spines?",
    "How do I choose a ripe melon?",
    "What is a food chain?",
    "Why do old books smell?",
    "How does a pencil leave a mark on paper?",
    "What is the difference between an opinion and a fact?",
    "How can two people share one cake fairly?",
)


def load_demo_prompts() -> list[dict[str, Any]]:
    """
    Prompts of the demo.

    Returns:
        `list[dict]`: 160 rows of the split `"calibration"`, then 80 of `"heldout"`: `id`, `prompt` (as the demo's reward
        models are trained: `Question: ...`), `messages` (what the policies are asked) and `split`. No question is one of
        the test pairs of [`~trl_ext.data.demo.load_demo_preferences`].
    """
    built_in = split_questions(load_demo_questions(), DEMO_SEED)
    questions = {
        "calibration": [
            *((question["id"], question["question"]) for question in built_in["train"]),
            *_numbered("calibration", CALIBRATION_QUESTIONS),
        ],
        "heldout": [
            *((q["id"], q["question"]) for q in (*built_in["validation"], *built_in["calibration"])),
            *_numbered("heldout", HELDOUT_QUESTIONS),
        ],
    }
    return [
        {
            "id": id,
            "prompt": demo_prompt(question),
            "messages": [{"role": "user", "content": question}],
            "split": split,
        }
        for split, rows in questions.items()
        for id, question in rows
    ]


def _numbered(name: str, questions: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(f"{name}-{number:03d}", question) for number, question in enumerate(questions, start=1)]
