"""Moving scenes whose truth is known: built-in creatures and animated glTF files, rendered to data sets.

Knows nothing of reconstruction or of scores.
"""

from recon4d.synthetic.config import SynthesizeConfig as SynthesizeConfig
from recon4d.synthetic.creature import Creature as Creature
from recon4d.synthetic.creature import Rig as Rig
from recon4d.synthetic.creature_field import creature_field as creature_field
from recon4d.synthetic.creatures import CREATURE_NAMES as CREATURE_NAMES
from recon4d.synthetic.creatures import creature as creature
from recon4d.synthetic.gltf_subject import load_gltf as load_gltf
from recon4d.synthetic.subject import Subject as Subject
from recon4d.synthetic.synthesize import Synthesized as Synthesized
from recon4d.synthetic.synthesize import load_subject as load_subject
from recon4d.synthetic.synthesize import synthesize as synthesize
