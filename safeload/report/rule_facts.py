"""What programs and people are told about each rule beside its summary: how grave it is, which weakness it is, and what to do about it.

By the code's hundred, with the exceptions listed. `severity` is what GitHub and GitLab sort by, on the scale of CVSS: above 9 critical, from 7 high, from 4
medium. The numbers say how bad it is if the file means it, not how likely that is.
"""

from __future__ import annotations

import msgspec

from safeload.findings import BY_CODE, WAIVABLE


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """About one rule: severity from 0 to 10, CWE numbers, what it means for the reader, what to do."""

    severity: float
    cwe: tuple[int, ...]
    meaning: str
    advice: str


HUNDREDS: dict[str, Facts] = {
    "SL0": Facts(
        severity=4.0,
        cwe=(),
        meaning="The file was not read, so nothing is known of what it would do. What was not read is never called accepted.",
        advice="Look at what the file really is: the message says what was found. Download or copy it again, or leave it out of the scan.",
    ),
    "SL1": Facts(
        severity=7.0,
        cwe=(436,),
        meaning="Two programs could see two different archives in these bytes: one that is judged, and another one that is loaded.",
        advice="Save the checkpoint again with a current torch. If the file is not yours, do not load it with anything.",
    ),
    "SL2": Facts(
        severity=7.0,
        cwe=(436, 502),
        meaning="The pickle stream is broken or made so that programs disagree about what it says. What stands before the break was judged.",
        advice="Download or copy the file again. No program that saves checkpoints writes such a stream.",
    ),
    "SL3": Facts(
        severity=8.0,
        cwe=(502,),
        meaning="A program that unpickles this file would import and run something that the policy does not allow.",
        advice="`safeload explain FILE` names the entry that decides and what would change it. safeload itself runs none of it, whatever the policy.",
    ),
    "SL4": Facts(
        severity=7.5,
        cwe=(125,),
        meaning="A tensor does not lie inside the bytes that it claims, so a loader that trusts the file reads or writes somewhere else.",
        advice="Save the checkpoint again. If the file is not yours, do not load it with anything.",
    ),
    "SL9": Facts(
        severity=6.0,
        cwe=(400,),
        meaning="Reading on would cost more time or memory than the budget allows. What lies beyond the limit was not judged.",
        advice="If you know the file, raise the limit for it: `[limits]` or `[[raise]]` in a policy, `limits=` in Python.",
    ),
}

EXCEPTIONS: dict[str, Facts] = {
    "SL007": Facts(
        severity=1.0,
        cwe=(),
        meaning="The verdict is on what was fetched: directory, pickles, records. What lies in the other bytes nobody looked at.",
        advice="Download the file and scan it before it is loaded. A policy that grades this rule as an error accepts no file that was read in part.",
    ),
    "SL113": Facts(
        severity=7.5,
        cwe=(22,),
        meaning="Whoever unpacks the archive would write outside of the folder that it is unpacked into.",
        advice="Do not unpack it. Save the checkpoint again.",
    ),
    "SL123": Facts(
        severity=0.5,
        cwe=(),
        meaning="Bytes that no tensor uses. Harmless, and possibly larger than they need be.",
        advice="Nothing, unless the file should be small.",
    ),
    "SL124": Facts(
        severity=8.0,
        cwe=(829,),
        meaning="The archive holds code, which its own loader (torch.jit, torch.package) runs.",
        advice="Load the weights with policy `inspect`; safeload never runs the code.",
    ),
    "SL301": Facts(
        severity=9.3,
        cwe=(502,),
        meaning="A program that unpickles this file would import this name, and run it where the stream calls it.",
        advice="`safeload explain FILE` says which entry decides, and gives the stanza that would permit the name, where one can. A denied name stays denied.",
    ),
    "SL310": Facts(
        severity=1.0,
        cwe=(502,),
        meaning="safeload keeps the object as a record of its name, arguments and state. Another loader would import its class.",
        advice="Nothing, if only safeload loads the file. Otherwise judge it with a policy that keeps no records.",
    ),
    "SL320": Facts(
        severity=2.0,
        cwe=(),
        meaning="The policy is for gates: it judges files, and loads none, whatever their verdict.",
        advice="Load the file by a policy in mode `enforce`.",
    ),
    "SL321": Facts(
        severity=5.0,
        cwe=(),
        meaning="Somebody permitted this until a day that has passed, so nobody answers for it now.",
        advice="Look at it anew and give the policy or the entry a later date, or do without it.",
    ),
    "SL322": Facts(
        severity=4.0,
        cwe=(),
        meaning="The policy says which formats it is for, and this file has another one.",
        advice="Judge the file by a policy that covers its format, or add the format to `formats` where the parents of the policy have it.",
    ),
    "SL323": Facts(
        severity=8.0,
        cwe=(345, 347),
        meaning="The file is not the one that was approved, or nobody that the policy trusts has signed it.",
        advice="Get the file from where the policy says, or have it signed.",
    ),
}


def facts_of(code: str) -> Facts:
    """Of one rule."""
    return EXCEPTIONS.get(code) or HUNDREDS[code[:3]]


def help_text(code: str) -> str:
    """A paragraph or two: what the rule says, what that means, what to do."""
    facts, rule = facts_of(code), BY_CODE[code]
    waivable = "\n\nA policy can waive it for one file ([[waive]])." if code in WAIVABLE else ""
    return f"{rule.summary}\n\n{facts.meaning}\n\n{facts.advice}{waivable}"
