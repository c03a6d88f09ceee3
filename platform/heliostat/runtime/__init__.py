"""Where does it run? The rooms composed: in this process, on Ray, as jobs of a cluster."""
