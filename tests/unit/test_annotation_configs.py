"""The configs of annotation that come with the repository."""

import pytest
from run_files import REPOSITORY

from curation import config
from curation.annotation.plan import AnnotationSpec

CONFIGS = sorted((REPOSITORY / "configs").glob("annotate_*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_is_without_mistakes_and_its_rubric_complete(path):
    spec = config.parse(AnnotationSpec, config.load(path))
    assert spec.mistakes() == []
    assert [rubric.load().name for rubric in spec.rubric] == [path.stem.removeprefix("annotate_").replace("_", "-")]
    assert config.parse(AnnotationSpec, config.dump(spec)) == spec
