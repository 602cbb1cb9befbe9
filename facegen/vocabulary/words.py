"""One table: how each label is said in a caption and which words ask for it in a prompt.

Covers CelebA's forty attributes, the rendered avatars' and UTKFace's classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["adjective", "having", "doing"]


@dataclass(frozen=True)
class LabelWords:
    """Words of one attribute, "a,b,c" each. `caption` is said as `role`: "a YOUNG man", "with GLASSES",
    "SMILING". `asks` are further words that mean yes, `denies` words that mean no."""

    role: Role
    caption: str
    asks: str = ""
    denies: str = ""


ATTRIBUTE_WORDS: dict[str, LabelWords] = {
    # what a person names first comes first: captions mention labels in this order
    "Young": LabelWords("adjective", "young", "youthful", "old,older,elderly,aged,senior"),
    "Attractive": LabelWords(
        "adjective", "attractive", "beautiful,handsome,pretty,good looking", "unattractive"
    ),
    "Chubby": LabelWords("adjective", "chubby", "plump,overweight,fat", "slim,thin,slender"),
    "Bald": LabelWords(
        "adjective", "bald", "bald headed,bald head,hairless,no hair,without hair,shaved head"
    ),
    "Pale_Skin": LabelWords("having", "pale skin", "pale,light skin,fair skin,light skinned,fair skinned"),
    "Dark_Skin": LabelWords("having", "dark skin", "dark skinned,brown skin,black skin,brown skinned"),
    "Long_Hair": LabelWords("having", "long hair", "long haired", "short hair,short haired"),
    "Black_Hair": LabelWords("having", "black hair", "black haired,dark hair,dark haired"),
    "Blond_Hair": LabelWords(
        "having", "blond hair", "blonde hair,blond,blonde,fair hair,blond haired,blonde haired,golden hair"
    ),
    "Brown_Hair": LabelWords("having", "brown hair", "brunette,brown haired,brunet,chestnut hair"),
    "Gray_Hair": LabelWords(
        "having", "gray hair", "grey hair,gray haired,grey haired,white hair,white haired,silver hair"
    ),
    "Red_Hair": LabelWords("having", "red hair", "redhead,red haired,ginger,ginger hair,redheaded"),
    "Wavy_Hair": LabelWords("having", "wavy hair", "wavy haired"),
    "Curly_Hair": LabelWords("having", "curly hair", "curly haired,curls,afro,an afro"),
    "Straight_Hair": LabelWords("having", "straight hair", "straight haired"),
    "Bangs": LabelWords("having", "bangs", "fringe,a fringe"),
    "Receding_Hairline": LabelWords("having", "a receding hairline", "receding hairline,receding hair"),
    "Eyeglasses": LabelWords(
        "having", "glasses", "eyeglasses,spectacles,eye glasses,bespectacled,wearing glasses,specs"
    ),
    "Sunglasses": LabelWords("having", "sunglasses", "sun glasses,dark glasses,shades"),
    "Beard": LabelWords("having", "a beard", "beard,bearded", "beardless"),
    "No_Beard": LabelWords("adjective", "clean-shaven", "beardless", "beard,bearded,a beard"),
    "Mustache": LabelWords("having", "a mustache", "mustache,moustache,moustached,mustached"),
    "Goatee": LabelWords("having", "a goatee", "goatee"),
    "Sideburns": LabelWords("having", "sideburns"),
    "5_o_Clock_Shadow": LabelWords(
        "having", "a five o'clock shadow", "5 o clock shadow,five o clock shadow,stubble,unshaven"
    ),
    "Arched_Eyebrows": LabelWords("having", "arched eyebrows", "arched brows"),
    "Bushy_Eyebrows": LabelWords("having", "bushy eyebrows", "thick eyebrows,bushy brows"),
    "Bags_Under_Eyes": LabelWords("having", "bags under the eyes", "bags under eyes,tired eyes,eye bags"),
    "Narrow_Eyes": LabelWords("having", "narrow eyes", "squinting,narrowed eyes"),
    "Big_Lips": LabelWords("having", "full lips", "big lips,thick lips", "thin lips"),
    "Big_Nose": LabelWords("having", "a big nose", "big nose,large nose", "small nose"),
    "Pointy_Nose": LabelWords("having", "a pointy nose", "pointy nose,pointed nose"),
    "High_Cheekbones": LabelWords("having", "high cheekbones", "cheekbones"),
    "Oval_Face": LabelWords("having", "an oval face", "oval face"),
    "Double_Chin": LabelWords("having", "a double chin", "double chin"),
    "Rosy_Cheeks": LabelWords("having", "rosy cheeks", "red cheeks,blushing,pink cheeks"),
    "Heavy_Makeup": LabelWords("having", "heavy makeup", "makeup,make up,heavy make up,made up"),
    "Smiling": LabelWords(
        "doing",
        "smiling",
        "smile,smiles,a smile,happy,grinning,grin,laughing,cheerful",
        "serious,unsmiling,sad,frowning,straight faced",
    ),
    "Mouth_Slightly_Open": LabelWords(
        "doing",
        "with mouth slightly open",
        "open mouth,mouth open,parted lips,slightly open mouth",
        "closed mouth,mouth closed",
    ),
    "Mouth_Open": LabelWords(
        "doing", "with mouth open", "open mouth,an open mouth,open mouthed", "closed mouth,mouth closed"
    ),
    "Wearing_Hat": LabelWords(
        "doing", "wearing a hat", "hat,a hat,cap,a cap,beanie,hatted,headwear", "bareheaded,hatless"
    ),
    "Wearing_Earrings": LabelWords("doing", "wearing earrings", "earrings,earring,an earring"),
    "Wearing_Lipstick": LabelWords("doing", "wearing lipstick", "lipstick,red lips"),
    "Wearing_Necklace": LabelWords("doing", "wearing a necklace", "necklace,a necklace"),
    "Wearing_Necktie": LabelWords("doing", "wearing a necktie", "necktie,tie,a tie,a necktie"),
    "Blurry": LabelWords("adjective", "blurry", "blurred,out of focus,unsharp", "sharp,in focus"),
}

# words that set more than one label; those that the data set lacks are left out
COMBINED_WORDS: dict[str, tuple[tuple[str, float], ...]] = {
    "man,men,male,guy,gentleman,masculine": (("Male", 1.0), ("gender=Male", 1.0)),
    "woman,women,female,lady,feminine": (("Male", -1.0), ("gender=Female", 1.0)),
    "boy": (("Male", 1.0), ("gender=Male", 1.0), ("age_group=Child", 1.0)),
    "girl": (("Male", -1.0), ("gender=Female", 1.0), ("age_group=Child", 1.0)),
    "child,kid,baby,toddler,infant": (("age_group=Child", 1.0),),
    "teenager,teenage,teen,adolescent": (("age_group=Teenager", 1.0),),
    "young,young adult": (("Young", 1.0), ("age_group=Young_Adult", 1.0)),
    "middle aged": (("age_group=Middle_Aged", 1.0),),
    "old,older,elderly,aged,senior": (("Young", -1.0), ("age_group=Senior", 1.0)),
    "clean shaven,shaven,no facial hair,without facial hair": (
        ("Beard", -1.0),
        ("No_Beard", 1.0),
        ("Mustache", -1.0),
        ("Goatee", -1.0),
    ),
    "facial hair": (("Beard", 1.0), ("No_Beard", -1.0)),
    "caucasian,european": (("race=White", 1.0),),
    "african": (("race=Black", 1.0),),
}

# asked for where the data set lacks the finer label: CelebA's Eyeglasses includes sunglasses
COARSER: dict[str, str] = {"Sunglasses": "Eyeglasses", "Curly_Hair": "Wavy_Hair"}


def _set(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


FILLERS = _set(
    "a an the of with and or that who which whose is are was has have having wears wearing looks looking",
    "photo photograph picture image portrait cartoon drawing avatar illustration render headshot selfie",
    "close up closeup person people human face faces someone somebody he she they his her their in at it",
    "this very quite showing shows show please but also some one camera",
)
NEGATIONS = _set("no not without never non isn isnt doesn doesnt hasn hasnt lacking neither")
HAIR_ADJECTIVES = _set(
    "black dark blond blonde fair golden brown chestnut gray grey white silver red ginger",
    "long short wavy curly straight receding",
)


def attribute_words(name: str) -> LabelWords:
    """Words of any attribute; one that the table lacks is said by its own name ("Has_Dog": "has dog")."""
    return ATTRIBUTE_WORDS.get(name) or LabelWords("having", name.replace("_", " ").strip().lower())


def spoken(value: str) -> str:
    """A class name as it is said: "Middle_Aged" -> "middle-aged", "Asian" stays."""
    return value.lower().replace("_", "-") if "_" in value else value


def readable(name: str) -> str:
    """A label or a setting's name without underscores."""
    return name.replace("_", " ")
