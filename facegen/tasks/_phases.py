"""Phases of a VAE-GAN's training as shares of the run, and how strongly each loss counts in them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

FIRST_PHASE = "reconstruction"


class Phases(BaseModel):
    """Share of the run at which each phase begins, on top of those before it; 1 means never."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kl: float = Field(default=0.1, ge=0, le=1)
    classes: float = Field(default=0.3, ge=0, le=1)
    adversarial: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Phases:
        if not self.kl <= self.classes <= self.adversarial:
            raise ValueError("the phases begin in the order kl, classes, adversarial")
        return self

    def at(self, done: float) -> str:
        """Name of the phase at `done`, the share of the run in [0, 1)."""
        begun = [name for name in Phases.model_fields if done >= getattr(self, name)]
        return begun[-1] if begun else FIRST_PHASE

    def strength(self, phase: str, done: float, ramp: float) -> float:
        """How strongly `phase`'s losses count: 0 until it begins, then up to 1 over `ramp` of the run."""
        begun = done - getattr(self, phase)
        if begun <= 0:
            return 0.0
        return 1.0 if begun >= ramp else begun / ramp
