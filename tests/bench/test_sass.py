"""Reading compiled code: which loop is counted, and what its instructions are called."""

from __future__ import annotations

from tests.bench.sass import innermost, listings, operation

PRINTED = """
	code for sm_90
		Function : _ZN7recon4d3gpu14forward_kernelIfLi3EEEv
	.headerflags	@"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;            /* 0x00000a00ff017b82 */
        /*0010*/                   FMUL R2, R2, R2 ;                 /* 0x0000000202027220 */
        /*0020*/                   FFMA.FTZ R2, R3, R3, R2 ;         /* 0x0000000303027223 */
        /*0030*/              @!P0 FMUL R2, R2, 2 ;                  /* 0x4000000002028820 */
        /*0040*/               @P0 BRA 0x20 ;                        /* 0xfffffffc00f80947 */
        /*0050*/                   LDS R4, [R5] ;                    /* 0x0000000005047984 */
        /*0060*/               @P1 BRA 0x50 ;                        /* 0xfffffffc00f80947 */
        /*0070*/              @!P2 BRA 0x10 ;                        /* 0xfffffffc00f80947 */
        /*0080*/                   EXIT ;                            /* 0x000000000000794d */
"""


def test_the_innermost_loop_that_shades_is_counted():
    (listing,) = listings(PRINTED).values()
    assert len(listing) == 9
    assert [operation(text) for _, text in innermost(listing)] == ["FFMA", "FMUL", "BRA"]
