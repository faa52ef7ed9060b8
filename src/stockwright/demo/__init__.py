"""The main job on a real wholesaler's orders: the replay, its sellers and the counterfactual."""
